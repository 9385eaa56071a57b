"""From what a server said to what the user reads: never a path, always a reason."""

from comfygate.comfy.errors import PromptRejected
from comfygate.comfy.wire import FileRef, HistoryRecord, NodeFailure
from comfygate.domain.job import Failed, Lost, Succeeded
from comfygate.domain.words import WORDS_CHARS_MAX, for_users
from comfygate.gate import verdict

FILE = FileRef("a.png", "", "output")
NODE_ERRORS = {
    "7": {
        "errors": [
            {
                "type": "value_not_in_list",
                "message": "Value not in list",
                "details": "ckpt_name: 'x' not in ['/srv/models/a.safetensors']",
                "extra_info": {"input_name": "ckpt_name"},
            }
        ],
        "class_type": "CheckpointLoaderSimple",
    }
}


def record(status: str = "success", **given: object) -> HistoryRecord:
    values: dict[str, object] = {"prompt_id": "p", "status": status, "outputs": {"3": (FILE,)}, **given}
    return HistoryRecord(**values)  # type: ignore[arg-type]


def test_success_needs_every_expected_output() -> None:
    assert verdict.ended(record(), frozenset({"3"})) == Succeeded()
    short = verdict.ended(record(unread=("4.weird",)), frozenset({"3", "4"}))
    assert isinstance(short, Failed)
    assert (short.error.code, short.error.node_id) == ("outputs_missing", "4")
    assert "4.weird" in short.cause


def test_an_interrupt_by_a_stranger_is_nobodys_blame() -> None:
    assert isinstance(verdict.ended(record("interrupted"), frozenset()), Lost)


def test_a_node_failure_names_the_node_and_hides_the_servers_insides() -> None:
    failure = NodeFailure(
        "5",
        "KSampler",
        "RuntimeError",
        "cannot open /srv/comfy/models/x.bin\nsecond line",
        "Traceback /srv/x",
    )
    failed = verdict.ended(record("error", failure=failure), frozenset())
    assert isinstance(failed, Failed)
    assert failed.error.message == "Node 5 (KSampler) failed: cannot open [path]"
    assert (failed.error.node_id, failed.error.class_type) == ("5", "KSampler")
    assert "Traceback" in failed.cause


def test_a_failure_without_words_still_says_something() -> None:
    failed = verdict.ended(record("error"), frozenset())
    assert isinstance(failed, Failed)
    assert failed.error.message


def test_a_rejected_graph_names_node_and_input() -> None:
    refusal = PromptRejected(
        server="http://s", status=400, error={"type": "x", "message": "y"}, node_errors=NODE_ERRORS
    )
    failed = verdict.rejected(refusal)
    assert failed.error.message == "Node 7 (CheckpointLoaderSimple), input 'ckpt_name': Value not in list"
    assert failed.error.code == "invalid_workflow"
    assert "/srv" not in failed.error.message


def test_a_rejection_of_unknown_shape_is_still_a_sentence() -> None:
    odd = PromptRejected(server="http://s", status=400, error={}, node_errors={"1": "?"})
    assert verdict.rejected(odd).error.message == "Node 1: is not valid"
    bare = PromptRejected(server="http://s", status=400, error={"message": "no"}, node_errors={})
    assert verdict.rejected(bare).error.message == "The workflow was refused: no"


def test_words_for_users_are_short_and_bare() -> None:
    assert for_users(r"open C:\ComfyUI\models\a.ckpt failed") == "open [path] failed"
    assert for_users("see https://gpu7.internal/x?token=1 now") == "see [address] now"
    assert for_users("16/9 and/or 3/4 stay") == "16/9 and/or 3/4 stay"
    assert len(for_users("x" * 1000)) == WORDS_CHARS_MAX
    assert for_users("   ") == ""
