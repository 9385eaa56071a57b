"""The pages that people open in a browser. They load nothing from other hosts and ask the API as all do."""
