"""Screens what a job is sent and what it made, off the event loop and outside of transactions.

Inputs are scored at submission, once for the same bytes; outputs between collecting and settling. What
cannot be screened is not delivered. An input that nobody scored yet (its score was forgotten, or the job came
another way) is scored with the outputs, so the one rule without a setting never lacks its half.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from comfygate.assets.screening import Eyes
from comfygate.comfy.watch import PreviewImage
from comfygate.domain.blame import Blame
from comfygate.domain.errors import (
    InvalidWorkflow,
    PayloadTooLarge,
    Screened,
    ScreeningUnavailable,
    UnreadablePicture,
)
from comfygate.domain.graph import FileReference, Graph
from comfygate.domain.job import Failed, JobError, Outcome, Succeeded
from comfygate.domain.screening import (
    Suspicion,
    Verdict,
    is_picture,
    judge,
    loads_pictures,
    may_make_pictures,
)
from comfygate.gate.clean import cleaned
from comfygate.gate.context import Context
from comfygate.gate.live import PreviewEvent
from comfygate.gate.patience import surely_read, surely_run
from comfygate.gate.run import Run
from comfygate.store import assets as assets_store
from comfygate.store import screening as screening_store
from comfygate.store.admission import missing_asset
from comfygate.store.engine import Connection
from comfygate.store.rows import AssetRow, JobScore, NewOutput, Screening

RETRY_SECONDS = 1.0
UNAVAILABLE_TRIES_MAX = 3
"""How often outputs are tried that cannot be screened now; then the job goes back, once, or is refunded."""

_SUSPICION = {
    Verdict.DELIVER: None,
    Verdict.BLOCK: Suspicion.OUTPUT,
    Verdict.HOLD: Suspicion.OUTPUT,
    Verdict.RULE: Suspicion.RULE,
}


async def check_inputs(
    ctx: Context, account_id: str, graph: Graph, references: tuple[FileReference, ...]
) -> tuple[FileReference, ...]:
    """Refuse a submission for what it is sent, or because nothing could be screened now.

    Gives the references by asset id, so that what was screened is what runs. Raises Screened, MissingAsset,
    InvalidWorkflow, UnreadablePicture and ScreeningUnavailable; nothing is charged then.
    """
    if ctx.eyes is None:
        return references
    policy = ctx.rules.screening
    found = await ctx.store.read(_resolved, account_id, references, ctx.now_ms()) if references else ()
    pictures: dict[str, tuple[FileReference, AssetRow]] = {}
    for reference, asset in found:
        if asset is None:
            continue  # accepting refuses it
        if is_picture(asset.content_type):
            pictures[asset.hash] = (reference, asset)
        elif loads_pictures(graph.nodes[reference.node_id].class_type):
            raise _no_picture(reference, asset)
    if pictures or (policy.enabled and may_make_pictures(graph, ctx.rules.output_nodes)):
        await ctx.eyes.classifier.ready()
    scores = await _scores(ctx, ctx.eyes, [asset for _, asset in pictures.values()], patient=False)
    for blob_hash, (reference, _) in pictures.items():
        if policy.refuses(scores[blob_hash]):
            await _suspect(ctx, account_id, blob_hash, scores[blob_hash])
            raise Screened(
                f"node {reference.node_id}, field {reference.field!r}: the picture screens as explicit and is"
                " not accepted; nothing was charged",
                details={
                    "node_errors": {reference.node_id: [{"field": reference.field, "reason": "screened"}]}
                },
            )
    return tuple(
        reference if asset is None else replace(reference, asset_id=asset.id, name=None)
        for reference, asset in found
    )


def _resolved(
    conn: Connection, account_id: str, references: Sequence[FileReference], now_ms: int
) -> list[tuple[FileReference, AssetRow | None]]:
    """What the references mean; None for an id that is not the account's."""
    ids = [reference.asset_id for reference in references if reference.asset_id is not None]
    own = {
        asset.id: asset
        for asset in assets_store.assets_by_id(conn, ids).values()
        if asset.account_id == account_id
    }
    found: list[tuple[FileReference, AssetRow | None]] = []
    for reference in references:
        if reference.asset_id is not None:
            found.append((reference, own.get(reference.asset_id)))
            continue
        name = reference.name or ""
        asset = assets_store.find_by_path(conn, account_id, name, now_ms) if name.isprintable() else None
        if asset is None:
            raise missing_asset(reference.node_id, reference.field, name)
        found.append((reference, asset))
    return found


def _no_picture(reference: FileReference, asset: AssetRow) -> InvalidWorkflow:
    message = f"takes a picture or clip, and {asset.file_path or asset.id} is {asset.content_type}"
    return InvalidWorkflow(
        f"node {reference.node_id}, field {reference.field!r}: {message}",
        details={"node_errors": {reference.node_id: [{"field": reference.field, "reason": message}]}},
    )


async def _suspect(ctx: Context, account_id: str, blob_hash: str, score: float) -> None:
    most = ctx.rules.screening.suspicions_max
    await ctx.store.run(
        screening_store.suspect, account_id, Suspicion.INPUT, blob_hash, score, most, ctx.now_ms()
    )


async def _scores(
    ctx: Context, eyes: Eyes, pictures: Sequence[AssetRow | NewOutput], *, patient: bool, keep: bool = True
) -> Mapping[str, float]:
    """The scores of these, by hash: those known, and the others looked at now and, to `keep`, remembered.

    `patient` waits out trouble of the database. Raises UnreadablePicture and ScreeningUnavailable.
    """
    if not pictures:
        return {}
    model = eyes.classifier.model
    of_hash = {_hash_and_key(one)[0]: one for one in pictures}
    if patient:
        known = await surely_read(ctx, screening_store.known_scores, list(of_hash), model)
    else:
        known = await ctx.store.read(screening_store.known_scores, list(of_hash), model)
    for blob_hash, one in of_hash.items():
        if blob_hash in known:
            continue
        path = ctx.blobs.file_of(_hash_and_key(one)[1])
        frames_max = ctx.rules.screening.frames_max
        score = known[blob_hash] = await eyes.classifier.score(path, one.content_type, frames_max=frames_max)
        if not keep:
            continue
        kept = (blob_hash, model, score, ctx.now_ms())
        if patient:
            await surely_run(ctx, screening_store.keep_score, *kept)
        else:
            await ctx.store.run(screening_store.keep_score, *kept)
    return known


def _hash_and_key(one: AssetRow | NewOutput) -> tuple[str, str]:
    return (one.hash, one.key) if isinstance(one, AssetRow) else (one.blob.hash, one.blob.key)


async def screened(run: Run) -> Outcome:
    """The outcome of an attempt whose outputs have been fetched. Metadata is taken out of them first.

    What screening found is left in `run.screening` for the settling write. Raises ServerTrouble of our disk.
    """
    eyes, policy = run.ctx.eyes, run.ctx.rules.screening
    if eyes is None:
        return Succeeded()
    pictures = [number for number, output in enumerate(run.kept) if is_picture(output.content_type)]
    for tries in itertools.count(1):
        try:
            for number in pictures:
                run.kept[number] = await cleaned(run.ctx, eyes, run.kept[number])
            inputs = await _pictures_sent(run)
            if not pictures or not policy.covers(with_pictures=bool(inputs)):
                return Succeeded()
            return await _judged(run, eyes, inputs, pictures)
        except UnreadablePicture as error:
            run.log.warning("outputs.not_readable", error=error.message)
            sentence = "A result cannot be screened, because it cannot be read as a picture or clip."
            return Failed(JobError("unreadable_output", sentence), error.message, Blame.POLICY)
        except PayloadTooLarge as error:
            sentence = "A result is too large to be screened."
            return Failed(JobError("unreadable_output", sentence), error.message, Blame.POLICY)
        except ScreeningUnavailable as error:
            run.log.error("outputs.not_screened", tries=tries, error=error.message)
            if tries >= UNAVAILABLE_TRIES_MAX:
                sentence = "Pictures cannot be screened right now, so the result cannot be delivered."
                return Failed(JobError("screening_unavailable", sentence), error.message, Blame.OUR_BUG)
            await asyncio.sleep(RETRY_SECONDS * tries)
    raise AssertionError("unreachable: itertools.count does not end")


async def _pictures_sent(run: Run) -> list[AssetRow]:
    """The pictures and clips that the job was sent, an earlier job's outputs too."""
    wanted = list({item.asset_id for item in run.attempt.inputs})
    known = await surely_read(run.ctx, assets_store.assets_by_id, wanted) if wanted else {}
    return [asset for asset in known.values() if is_picture(asset.content_type)]


async def _judged(run: Run, eyes: Eyes, inputs: Sequence[AssetRow], pictures: Sequence[int]) -> Outcome:
    policy = run.ctx.rules.screening
    before = await _scores(run.ctx, eyes, inputs, patient=True)
    made = [run.kept[number] for number in pictures]
    # Remembered by the write that settles.
    after = await _scores(run.ctx, eyes, made, patient=True, keep=False)
    found = []
    for number in pictures:
        output = run.kept[number]
        score = after[output.blob.hash]
        found.append(
            JobScore(number, output.name, output.content_type, output.blob.hash, score, policy.finding(score))
        )
    verdict = judge(policy, list(before.values()), [one.score for one in found])
    held = tuple(run.kept) if verdict is Verdict.HOLD else ()
    run.screening = Screening(
        tuple(found), _SUSPICION[verdict], held, policy.suspicions_max, eyes.classifier.model
    )
    highest = round(max(one.score for one in found), 3)
    run.log.info("outputs.screened", verdict=verdict.value, pictures=len(found), highest=highest)
    match verdict:
        case Verdict.DELIVER:
            return Succeeded()
        case Verdict.HOLD:
            sentence = "The result is held until the operator has looked at it; your credits came back."
            return Failed(JobError("held_for_review", sentence), f"screened at {highest}", Blame.POLICY)
        case Verdict.BLOCK | Verdict.RULE:
            sentence = "The result screens as explicit and is not delivered; your credits came back."
            return Failed(JobError("screened", sentence), f"screened at {highest} ({verdict})", Blame.POLICY)


class Previews:
    """Shows previews that screen as safe, one look at a time; what comes meanwhile is left out."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._looking: asyncio.Task[None] | None = None

    def offer(self, event: PreviewImage) -> None:
        """Show it, at once or when it was looked at, or not at all."""
        run = self._run
        eyes = run.ctx.eyes
        if eyes is None or not run.ctx.rules.screening.covers(with_pictures=bool(run.attempt.inputs)):
            self._show(event)
        elif self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(eyes, event))

    async def aclose(self) -> None:
        """Show none any more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self, eyes: Eyes, event: PreviewImage) -> None:
        try:
            score = await eyes.classifier.score(event.data, event.content_type, frames_max=1)
        except (UnreadablePicture, PayloadTooLarge, ScreeningUnavailable) as error:
            self._run.log.info("preview.not_screened", error=error.message)
            return
        if self._run.ctx.rules.screening.may_show(score):
            self._show(event)

    def _show(self, event: PreviewImage) -> None:
        preview = PreviewEvent(event.node_id or "", event.content_type, event.data)
        self._run.ctx.live.publish(self._run.attempt.fence.job_id, preview)
