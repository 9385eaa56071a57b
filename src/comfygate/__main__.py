"""`python -m comfygate` is the command `comfygate`."""

from comfygate.app import main

if __name__ == "__main__":
    main()
