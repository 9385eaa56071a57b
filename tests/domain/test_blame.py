"""One table decides: every class of failure has its consequence, and no retry goes beyond its budget."""

from __future__ import annotations

import re

import pytest

from comfygate.domain.blame import CONSEQUENCES, Blame, Retry, decide, sentence_of
from comfygate.domain.evidence import of_execution, of_rejection

NEVER = {Blame.INPUT, Blame.WORKFLOW, Blame.POLICY}
ELSEWHERE = {Blame.MISSING, Blame.UNREACHABLE, Blame.HANG}


def test_every_class_has_a_row() -> None:
    assert CONSEQUENCES.keys() == set(Blame)


@pytest.mark.parametrize("blame", Blame)
def test_a_sentence_is_for_people(blame: Blame) -> None:
    said = sentence_of(blame, place="Node 3 (KSampler)", words="it did not fit")
    assert said[0].isupper()
    assert not re.search(r"[{}\\]|/\w+/|Traceback|torch\.|Error\b", said), said
    assert sentence_of(blame)
    assert CONSEQUENCES[blame].code.isidentifier()


@pytest.mark.parametrize("blame", Blame)
def test_no_class_outlives_the_budget_of_all(blame: Blame) -> None:
    before: list[Blame | None] = []
    while decide(blame, before, attempts_max=5, other_server=True).again:
        before.append(blame)
    assert len(before) == min(CONSEQUENCES[blame].retries_max, 4)


@pytest.mark.parametrize("blame", Blame)
def test_only_these_are_never_tried_again(blame: Blame) -> None:
    assert decide(blame, [], attempts_max=9, other_server=True).again is (blame not in NEVER)


@pytest.mark.parametrize("blame", Blame)
def test_what_must_go_elsewhere_ends_where_there_is_no_other_server(blame: Blame) -> None:
    decision = decide(blame, [], attempts_max=9, other_server=False)
    assert decision.again is (blame not in NEVER | ELSEWHERE)
    assert decision.elsewhere is (blame in ELSEWHERE)
    assert (CONSEQUENCES[blame].retry is Retry.ELSEWHERE) is (blame in ELSEWHERE)


def test_out_of_memory_is_tried_once_more_whatever_else_happened() -> None:
    assert decide(Blame.OUT_OF_MEMORY, [Blame.SERVER_LOST], attempts_max=5, other_server=False).again
    assert not decide(Blame.OUT_OF_MEMORY, [Blame.OUT_OF_MEMORY], attempts_max=5, other_server=True).again
    assert CONSEQUENCES[Blame.OUT_OF_MEMORY].free_memory


EXECUTION = [
    # exception_type, message, whether the node takes the user's file, whose fault it is
    ("torch.OutOfMemoryError", "Allocation on device", False, Blame.OUT_OF_MEMORY),
    (
        "torch.cuda.OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        False,
        Blame.OUT_OF_MEMORY,
    ),
    ("RuntimeError", "MPS backend out of memory", True, Blame.OUT_OF_MEMORY),
    ("RuntimeError", "[enforce fail] DefaultCPUAllocator: can't allocate memory", False, Blame.OUT_OF_MEMORY),
    ("RuntimeError", "CUDA error: out of memory", False, Blame.OUT_OF_MEMORY),
    ("torch.AcceleratorError", "CUDA error: device-side assert triggered", False, Blame.POISONED_GPU),
    ("RuntimeError", "CUDA error: an illegal memory access was encountered", True, Blame.POISONED_GPU),
    ("RuntimeError", "HIP error: unspecified launch failure", False, Blame.POISONED_GPU),
    ("OSError", "[Errno 28] No space left on device: '/out/a.png'", False, Blame.STORAGE),
    ("OSError", "[Errno 30] Read-only file system", True, Blame.STORAGE),
    ("PIL.UnidentifiedImageError", "cannot identify image file '/in/a.png'", True, Blame.INPUT),
    ("OSError", "image file is truncated (3 bytes not processed)", False, Blame.INPUT),
    ("ValueError", "something about this picture", True, Blame.INPUT),
    ("FileNotFoundError", "[Errno 2] No such file or directory: '/in/a.png'", True, Blame.STORAGE),
    ("FileNotFoundError", "Model in folder 'checkpoints' with filename 'x' not found", False, Blame.MISSING),
    ("ModuleNotFoundError", "No module named 'insightface'", False, Blame.MISSING),
    ("safetensors_rust.SafetensorError", "Error while deserializing header", False, Blame.MISSING),
    ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied", False, Blame.WORKFLOW),
    ("KeyError", "'frames'", False, Blame.WORKFLOW),
]


@pytest.mark.parametrize(("kind", "message", "has_file", "blame"), EXECUTION)
def test_the_servers_words_say_whose_fault_it_was(
    kind: str, message: str, has_file: bool, blame: Blame
) -> None:
    assert of_execution(kind, message, has_users_file=has_file) is blame


def reason(kind: str, given: object = "x", message: str = "", details: str = "") -> dict[str, object]:
    extra = {"input_name": "value", "received_value": given}
    return {"errors": [{"type": kind, "message": message, "details": details, "extra_info": extra}]}


REJECTIONS = [
    ({}, {"4": reason("value_not_in_list", "dream.safetensors")}, Blame.MISSING),
    ({}, {"4": reason("value_not_in_list", "my_sampler")}, Blame.WORKFLOW),
    ({}, {"4": reason("value_smaller_than_min", -1)}, Blame.WORKFLOW),
    (
        {},
        {"1": reason("custom_validation_failed", details="image - Invalid image file: a.png")},
        Blame.STORAGE,
    ),
    (
        {},
        {"1": reason("value_not_in_list", "a.ckpt"), "2": reason("required_input_missing")},
        Blame.WORKFLOW,
    ),
    (
        {"type": "invalid_prompt", "message": "Cannot execute because node X does not exist."},
        {},
        Blame.MISSING,
    ),
    ({"type": "missing_node_type", "message": "Node 'X' not found"}, {}, Blame.MISSING),
    ({"type": "prompt_no_outputs", "message": "Prompt has no outputs"}, {}, Blame.WORKFLOW),
    ({}, {"1": "no shape that is known"}, Blame.WORKFLOW),
]


@pytest.mark.parametrize(("error", "node_errors", "blame"), REJECTIONS)
def test_validation_says_whose_fault_it_was(
    error: dict[str, object], node_errors: dict[str, object], blame: Blame
) -> None:
    assert of_rejection(error, node_errors) is blame
