"""One frozen object from arguments, environment and file; what is unknown or unsafe refuses in one line."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from comfygate.domain.errors import SettingsError
from comfygate.settings import Settings, config_path, load_settings

LONG_SECRET = "k9" * 20


def load(base: Path, text: str = "", environ: dict[str, str] | None = None, **overrides: Any) -> Settings:
    if text:
        (base / "comfygate.toml").write_text(text, encoding="utf-8")
    return load_settings(base_dir=base, environ=environ or {}, overrides=overrides)


def refusal(base: Path, text: str = "", environ: dict[str, str] | None = None, **overrides: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(base, text, environ, **overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_file_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.port == 8190
    assert settings.data_path == tmp_path / "data"
    assert settings.sqlalchemy_url() == f"sqlite:///{(tmp_path / 'data' / 'comfygate.db').as_posix()}"
    assert settings.lanes["image"].price == 1
    assert settings.lanes["video"].price == 5
    assert settings.tiers["black_gold"].priority < settings.tiers["vip"].priority
    assert settings.tiers["vip"].priority == settings.tiers["regular"].priority
    assert settings.output_nodes["VHS_VideoCombine"] == "video"
    assert settings.file_inputs["LoadImage"] == ("image",)


def test_arguments_win_over_variables_and_those_over_the_file(tmp_path: Path) -> None:
    text = "port = 1\nhost = 'a'\nurl_seconds = 10\n[comfy]\npoll_seconds = 1.0\nprobe_seconds = 1.0"
    environ = {"COMFYGATE_PORT": "2", "COMFYGATE_HOST": "b", "COMFYGATE_COMFY__POLL_SECONDS": "2"}
    settings = load(tmp_path, text, environ, port=3)
    assert (settings.port, settings.host, settings.url_seconds) == (3, "b", 10)
    assert (settings.comfy.poll_seconds, settings.comfy.probe_seconds) == (2.0, 1.0)


def test_a_settings_object_cannot_be_changed_and_never_reads_the_environment_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMFYGATE_PORT", "9999")
    monkeypatch.setenv("PORT", "9998")
    settings = Settings()
    assert settings.port == 8190
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]  # what is refused is what is tested
    with pytest.raises(ValidationError):
        settings.comfy.poll_seconds = 1  # type: ignore[misc]  # likewise


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("prot = 1", "prot", "port"),
        ("[comfy]\npol_seconds = 1", "comfy.pol_seconds", "comfy.poll_seconds"),
        ("[lanes.fast]\nprcie = 1", "lanes.fast.prcie", "lanes.fast.price"),
        ("[server_secrets.gpu1]\nheader = {}", "server_secrets.gpu1.header", "server_secrets.gpu1.headers"),
        ("[limit]\ninputs_max = 3", "limit", "limits"),
        ("lease_seconds = 3", "lease_seconds", "dispatch.lease_seconds"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    tmp_path: Path, text: str, wrong: str, near: str
) -> None:
    message = refusal(tmp_path, text)
    assert message == f"{tmp_path / 'comfygate.toml'}: {wrong} is not a setting; did you mean {near}?"


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("COMFYGATE_POTR", "COMFYGATE_PORT"),
        ("COMFYGATE_COMFY__POL_SECONDS", "COMFYGATE_COMFY__POLL_SECONDS"),
        ("COMFYGATE_CONFGI", "COMFYGATE_CONFIG"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(
    tmp_path: Path, variable: str, near: str
) -> None:
    message = refusal(tmp_path, environ={variable: "1"})
    assert message == f"environment variable {variable} is not a setting; did you mean {near}?"


def test_a_scalar_has_no_parts(tmp_path: Path) -> None:
    assert "COMFYGATE_PORT has no parts" in refusal(tmp_path, environ={"COMFYGATE_PORT__X": "1"})


def test_the_variables_of_the_clients_are_known(tmp_path: Path) -> None:
    load(tmp_path, environ={"COMFYGATE_URL": "http://127.0.0.1:1", "COMFYGATE_API_KEY": "k", "OTHER": "x"})


@pytest.mark.parametrize(
    "secret", ["", "changeme", "Change-Me", "secret", "your-secret-here", "xxx", "XXXXXX", "<fill in>", "   "]
)
def test_a_placeholder_secret_refuses_and_is_not_echoed(tmp_path: Path, secret: str) -> None:
    for environ in (
        {"COMFYGATE_SIGNING_SECRET": secret},
        {"COMFYGATE_SERVER_SECRETS__GPU1__USERNAME": "u", "COMFYGATE_SERVER_SECRETS__GPU1__PASSWORD": secret},
        {"COMFYGATE_SERVER_SECRETS": f'{{"gpu1": {{"headers": {{"X-Key": "{secret}"}}}}}}'},
    ):
        message = refusal(tmp_path, environ=environ)
        assert "placeholder" in message
        assert min(environ, key=len) in message or "PASSWORD" in message


def test_a_placeholder_password_in_the_database_address_refuses(tmp_path: Path) -> None:
    message = refusal(tmp_path, "database_url = 'postgresql://gate:changeme@db/gate'")
    assert "database_url" in message
    assert "changeme" not in message


def test_a_short_signing_secret_refuses(tmp_path: Path) -> None:
    assert "32 characters" in refusal(tmp_path, signing_secret="abc123")


def test_a_short_admin_key_refuses_and_is_not_shown(tmp_path: Path) -> None:
    message = refusal(tmp_path, admin_key="abc123")
    assert "32 characters" in message
    assert "abc123" not in message


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        f"signing_secret = '{LONG_SECRET}'\ndatabase_url = 'postgresql://gate:sesame@db:5433/gate?sslmode=require'\n"
        "[server_secrets.gpu1]\nheaders = {X-Key = 'sesame-2'}\nusername = 'u'\npassword = 'sesame-3'\n",
    )
    assert "sesame" not in repr(settings) + str(settings) + settings.database_address
    assert LONG_SECRET not in repr(settings)
    assert settings.database_address == "postgresql+psycopg://gate@db:5433/gate?sslmode=require"
    assert settings.sqlalchemy_url() == "postgresql+psycopg://gate:sesame@db:5433/gate?sslmode=require"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@/d?host=/run/pg", "postgresql+psycopg://u@/d?host=/run/pg"),
        ("postgresql:///d?host=/run/pg&password=sesame", "postgresql+psycopg:///d?host=/run/pg"),
        ("sqlite:////srv/gate.db", "sqlite:////srv/gate.db"),
    ],
)
def test_database_addresses_are_normalised(tmp_path: Path, given: str, address: str) -> None:
    assert load(tmp_path, database_url=given).database_address == address


def test_a_relative_sqlite_file_is_below_the_base_directory(tmp_path: Path) -> None:
    settings = load(tmp_path, database_url="sqlite:///gate.db")
    assert settings.sqlalchemy_url() == f"sqlite:///{(tmp_path / 'gate.db').as_posix()}"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u:sesame@h/d", "gate.db"])
def test_other_databases_refuse_without_echo(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path, database_url=url)
    assert "database_url" in message
    assert "sesame" not in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("port = 70000", ("port = 70000", "65535")),
        ("[lanes.image]\nprice = -1", ("lanes.image.price = -1", "0")),
        ("[lanes.Bad]\nprice = 1", ("lanes.Bad",)),
        ("[log]\nlevel = 'loud'", ("log.level = 'loud'", "warning")),
        ("[comfy]\npoll_seconds = 0", ("comfy.poll_seconds = 0",)),
        ("public_url = 'gate.example.org'", ("public_url", "http://")),
        ("root_path = 'gate'", ("root_path", "slash")),
        ("[output_nodes]\nSaveMesh = 'mesh'", ("output_nodes.SaveMesh", "'mesh'", "image, video")),
        ("[server_secrets.gpu1]\nusername = 'u'", ("server_secrets.gpu1", "both or neither")),
        ("port = \nhost = 1", ("not TOML", "line 1")),
    ],
)
def test_a_value_outside_its_limits_is_named(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    message = refusal(tmp_path, text)
    assert all(part in message for part in parts), message


def test_tables_of_the_file_add_to_the_defaults_and_false_takes_one_out(tmp_path: Path) -> None:
    text = "[lanes]\nmesh.price = 9\nimage.depth_max = 5\n[output_nodes]\nSaveMesh = 'mesh'\nSaveGLB = false"
    settings = load(tmp_path, text, {"COMFYGATE_TIERS__VIP": "false"})
    assert set(settings.lanes) == {"image", "video", "mesh"}
    assert (settings.lanes["image"].price, settings.lanes["image"].depth_max) == (1, 5)
    assert settings.lanes["video"].price == 5
    assert settings.output_nodes["SaveMesh"] == "mesh"
    assert "SaveGLB" not in settings.output_nodes
    assert set(settings.tiers) == {"regular", "black_gold"}


def test_headers_come_from_a_variable_as_json(tmp_path: Path) -> None:
    settings = load(tmp_path, environ={"COMFYGATE_SERVER_SECRETS__GPU1__HEADERS": '{"X-Key": "sesame"}'})
    assert settings.server_secrets["gpu1"].headers["X-Key"].get_secret_value() == "sesame"
    assert "COMFYGATE_LANES" in refusal(tmp_path, environ={"COMFYGATE_LANES": "{image"})


def test_every_directory_moves_alone_and_is_relative_to_the_base(tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk2"
    settings = load(tmp_path, "uploads_dir = 'in'", {"COMFYGATE_RESULTS_DIR": str(elsewhere)})
    assert settings.uploads_path == tmp_path / "in"
    assert settings.results_path == elsewhere
    assert settings.workflows_path == tmp_path / "workflows"


def test_the_base_directory_is_the_variable_else_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}).base_path == tmp_path
    base = tmp_path / "base"
    base.mkdir()
    (base / "comfygate.toml").write_text("port = 77", encoding="utf-8")
    settings = load_settings(environ={"COMFYGATE_BASE_DIR": str(base)})
    assert (settings.base_path, settings.port) == (base, 77)


def test_a_base_directory_in_the_file_is_relative_to_the_file(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "gate.toml"
    config.parent.mkdir()
    config.write_text("base_dir = '../srv'", encoding="utf-8")
    settings = load_settings(environ={"COMFYGATE_CONFIG": str(config)})
    assert settings.data_path.resolve() == (tmp_path / "srv" / "data").resolve()
    assert config_path(environ={"COMFYGATE_CONFIG": str(config)}) == config


def test_a_named_file_must_exist_and_be_text(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.toml"
    with pytest.raises(SettingsError, match=r"nowhere\.toml: there is no such settings file"):
        load_settings(config=missing, environ={})
    missing.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(config=missing, environ={})
    missing.write_bytes(b"\xef\xbb\xbfport = 5")
    assert load_settings(config=missing, environ={}).port == 5
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(config=tmp_path, environ={})


def test_node_classes_are_named_or_named_by_their_beginning(tmp_path: Path) -> None:
    environ = {"COMFYGATE_REFUSED_NODES": '["KSampler"]'}
    settings = load(tmp_path, 'allowed_nodes = ["Image Save", "Impact*", "*"]', environ)
    assert settings.allowed_nodes == ("Image Save", "Impact*", "*")
    assert settings.refused_nodes == ("KSampler",)
    for wrong in ('"a*b"', '""', '" x"', '"**"', '"a\\u0007"'):
        assert "allowed_nodes" in refusal(tmp_path, f"allowed_nodes = [{wrong}]")
