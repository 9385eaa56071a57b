"""The written file loads, says every setting, and the reference page is the one in docs/."""

import re
from pathlib import Path

from pydantic import BaseModel

from comfygate.settings import Settings, load_settings, reference, template

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


NO_DEFAULT = (
    "signing_secret", "admin_key", "username", "password", "base_dir", "token", "webhook_secret", "key",
)  # fmt: skip


def test_the_written_file_loads_as_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "comfygate.toml").write_text(template(), encoding="utf-8")
    assert load_settings(base_dir=tmp_path, environ={}) == load_settings(
        base_dir=tmp_path, config=_empty(tmp_path), environ={}
    )


def test_with_every_line_switched_on_it_still_loads_as_the_defaults(tmp_path: Path) -> None:
    """What is commented out is what holds anyway; only secrets, which have no default, are left out."""
    lines = [re.sub(r"^# (?=[\[\w\"])", "", line) for line in template().split("\n\n", 1)[1].splitlines()]
    kept = [line for line in lines if not line.startswith(NO_DEFAULT)]
    (tmp_path / "comfygate.toml").write_text("\n".join(kept), encoding="utf-8")
    loaded = load_settings(base_dir=tmp_path, environ={})
    plain = load_settings(base_dir=tmp_path, config=_empty(tmp_path), environ={})
    assert loaded.model_dump(exclude={"server_secrets"}) == plain.model_dump(exclude={"server_secrets"})
    assert set(loaded.server_secrets) == {"gpu1"}


def test_every_setting_is_in_the_file_and_on_the_page() -> None:
    text, page = template(), reference()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert re.search(rf"^(# )?(\[{name}[\].]|{name} =)", text, re.MULTILINE), name
        assert name in page
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for part, part_field in model.model_fields.items():
                assert part_field.description, part
                assert f"# {part} = " in text
                assert f"`COMFYGATE_{name.upper()}__{part.upper()}`" in page


def test_the_page_in_docs_is_up_to_date() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "run: make reference"


def _empty(folder: Path) -> Path:
    file = folder / "empty.toml"
    file.touch()
    return file
