"""What follows from how pictures screen: deliver, block, or hold for the operator. Pure, from scores 0 to 1.

One rule stands above the settings: when a picture that an account sent screens as safe, an explicit output of
that job is delivered to nobody, not by a review either. Settings can make it stricter, never weaker, and it
holds with screening switched off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from comfygate.domain.graph import Graph

RULE_THRESHOLD: Final = 0.8
"""For the rule an input below this is safe and an output from here is explicit, whatever the threshold."""
_NO_PICTURES: Final = frozenset(
    {"SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio", "SaveLatent", "SaveGLB"}
)
"""Output nodes that certainly save no picture and no clip."""
_LOADS_PICTURES: Final = re.compile(r"image|video|mask", re.IGNORECASE)


class Action(StrEnum):
    """What becomes of a job with an explicit output."""

    BLOCK = "block"
    REVIEW = "review"


class Verdict(StrEnum):
    """What becomes of a job's outputs."""

    DELIVER = "deliver"
    BLOCK = "block"
    HOLD = "hold"
    RULE = "rule"
    """Blocked by the rule that no setting turns off."""


class Finding(StrEnum):
    """What one picture or clip screened as."""

    SAFE = "safe"
    EXPLICIT = "explicit"


class Suspicion(StrEnum):
    """What counts against an account."""

    INPUT = "input"
    OUTPUT = "output"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of screening. `suspicions_max` of 0 never suspends an account."""

    enabled: bool = True
    threshold: float = 0.8
    action: Action = Action.BLOCK
    frames_max: int = 12
    suspicions_max: int = 3

    def finding(self, score: float) -> Finding:
        """What a score means by the settings."""
        return Finding.EXPLICIT if score >= self.threshold else Finding.SAFE

    def covers(self, *, with_pictures: bool) -> bool:
        """Whether a job is screened: all while enabled, and always one that was sent a picture or clip."""
        return self.enabled or with_pictures

    def refuses(self, score: float) -> bool:
        """Whether an input of this score is refused."""
        return self.enabled and self.action is Action.BLOCK and score >= self.threshold

    def may_show(self, score: float) -> bool:
        """Whether a preview of this score may be shown, whatever the job's inputs."""
        return score < min(self.threshold, RULE_THRESHOLD)


def judge(policy: Policy, inputs: Sequence[float], outputs: Sequence[float]) -> Verdict:
    """What becomes of a job, from the scores of the pictures it was sent and of those it made."""
    safe_input = any(score < max(policy.threshold, RULE_THRESHOLD) for score in inputs)
    if safe_input and any(score >= min(policy.threshold, RULE_THRESHOLD) for score in outputs):
        return Verdict.RULE
    explicit = any(policy.finding(score) is Finding.EXPLICIT for score in outputs)
    if not policy.enabled or not explicit:
        return Verdict.DELIVER
    return Verdict.HOLD if policy.action is Action.REVIEW else Verdict.BLOCK


def is_picture(content_type: str) -> bool:
    """Whether this type is a picture or a clip, and so is decoded, limited and screened. A drawing in SVG is
    a text, which no decoder here and no node that loads pictures takes."""
    return content_type != "image/svg+xml" and content_type.partition("/")[0] in {"image", "video"}


def loads_pictures(class_type: str) -> bool:
    """Whether a node of this class reads its file as a picture or clip, by its name."""
    return _LOADS_PICTURES.search(class_type) is not None and "audio" not in class_type.lower()


def may_make_pictures(graph: Graph, output_nodes: Iterable[str]) -> bool:
    """Whether the graph may save a picture or clip: only known audio, latents and models do not."""
    known = set(output_nodes)
    saves = {node.class_type for node in graph.nodes.values() if node.class_type in known}
    return not saves or bool(saves - _NO_PICTURES)
