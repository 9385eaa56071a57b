"""Why well-known node classes are not among the allowed ones: for the sentence that a caller reads.

What is refused is decided by the list of what is allowed; a class that stands in neither is refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

READS_PATHS: Final = "it reads files of the server by path"
WRITES_PATHS: Final = "it writes files of the server where the graph says"
READS_FOLDERS: Final = "it reads whole folders of the server, also what others uploaded"
FETCHES: Final = "it fetches addresses from the network"
SENDS: Final = "it sends data to the network"
PARTNER: Final = "it sends the job to another company's service, on the operator's account there"
RUNS_CODE: Final = "it runs code or evaluates expressions that the graph brings"
SLOW_PATTERN: Final = "it runs patterns that the graph brings, and some of them never end"
SAVES_MODELS: Final = "it writes models to the server's disk"
TRAINS: Final = "it trains models, or reads and writes data sets, on the server's disk"
CAPTURES: Final = "it names a recording of the editor's, which is no upload of the caller's"
VIEWER_STATE: Final = "its editor's state names files that are no uploads of the caller's"
DEVICES: Final = "it chooses the server's devices, which is for the operator to do"
EDITOR_ONLY: Final = "it exists in ComfyUI's editor alone; Workflow > Export (API) leaves it out"
INTERNAL: Final = "ComfyUI makes it itself while a loop runs"

_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    READS_PATHS: (
        "Image Load", "Load Cache", "Load Text File", "LoadImageFromPath", "Load Image From Path",
        "Image Load from path", "LoadImageFromFilePath", "LoadTextFromFile", "LoadVideoFromPath",
        "LoadAudioFromPath", "VHS_LoadVideoPath", "VHS_LoadVideoFFmpegPath", "VHS_LoadImagePath",
        "VHS_LoadAudio", "LoadImgFromInputFile", "LoadJSONFile", "LoadFileFromPath",
    ),
    READS_FOLDERS: (
        "Load Image Batch", "VHS_LoadImages", "VHS_LoadImagesPath", "LoadImagesFromFolderKJ",
        "LoadVideosFromFolder", "LoadImagesFromPath", "LoadImagesFromDirectory",
        "LoadImagesFromDir //Inspire",
        "LoadImageListFromDir //Inspire", "Load Image From Folder", "LoadImageSetNode",
        "LoadImageSetFromFolderNode", "LoadImageTextSetFromFolderNode", "LoadImageDataSetFromFolder",
        "LoadImageTextDataSetFromFolder", "LoadVideoDataSetFromFolder", "LoadVideoTextDataSetFromFolder",
    ),
    WRITES_PATHS: (
        "Image Save", "Save Text File", "Write to GIF", "Write to Video", "Create Video from Path",
        "ImageSaveWithPath", "SaveImageToPath", "SaveImageDataSetToFolder", "SaveImageTextDataSetToFolder",
    ),
    FETCHES: (
        "LoadImageFromUrl", "LoadImageFromURL", "Load Image From URL", "LoadImagesFromURL",
        "LoadImageFromHttp",
        "LoadImageFromHttpURL", "LoadImageURL", "ImageFromURL", "LoadVideoFromURL", "LoadAudioFromURL",
        "LoraLoaderFromURL", "DownloadModel", "HFDownload", "HF Downloader",
        "DownloadAndLoadFlorence2Model",
    ),
    SENDS: ("SendImageWebhook", "Webhook", "HTTPRequest", "HttpRequest", "Export API", "SaveImageToS3"),
    RUNS_CODE: (
        "GLSLShader", "ComfyMathExpression", "StringFormat", "MathExpression|pysssss", "Evaluate Integers",
        "Evaluate Floats", "Evaluate Strings", "Simple Eval Examples", "Eval", "EvalNode", "PythonScript",
        "ExecutePython", "ExecPython", "RunPython", "PythonCode", "PythonInterpreter", "ShellCommand",
        "RunShell", "BashScript", "ExecuteCommand", "Exec",
    ),
    SLOW_PATTERN: ("RegexExtract", "RegexMatch", "RegexReplace"),
    SAVES_MODELS: (
        "CheckpointSave", "CLIPSave", "ImageOnlyCheckpointSave", "LoraSave", "ModelSave", "SaveLoRA",
        "SaveLoRANode", "VAESave",
    ),
    TRAINS: (
        "TrainLoraNode", "LoraModelLoader", "LossGraphNode", "MakeTrainingDataset", "SaveTrainingDataset",
        "LoadTrainingDataset", "ResolutionBucket",
    ),
    CAPTURES: ("WebcamCapture", "RecordAudio"),
    VIEWER_STATE: (
        "Load3D", "Load3DAnimation", "Load3DAdvanced", "Preview3D", "Preview3DAnimation", "Preview3DAdvanced",
        "PreviewGaussianSplat", "PreviewPointCloud", "Painter", "ImageCompositor",
    ),
    DEVICES: ("MultiGPU_WorkUnits", "SelectCLIPDevice", "SelectModelDevice", "SelectVAEDevice"),
    EDITOR_ONLY: ("Note", "MarkdownNote", "Reroute", "PrimitiveNode", "TerminalLog"),
    INTERNAL: ("LoopIteration", "LoopProgress", "LoopResult"),
}  # fmt: skip

REFUSED: Final[Mapping[str, str]] = {name: why for why, names in _CLASSES.items() for name in names}
"""Well-known classes that are not allowed as shipped, and why."""

_PARTNERS: Final = re.compile(
    r"^(Beeble|Bria|ByteDance|Clarity|Claude|ComfyCloud|ElevenLabs|FishAudio|Flux(2Image|2Max|2Pro|3|Pro|Kontext"
    r"Max|KontextPro|Erase|VTO|Video)|Gemini|Grok|HappyHorse|HeyGen|Higgsfield|HitPaw|Ideogram|Kling|Krea|LtxApi"
    r"|Luma|Magnific|Meshy|MetaMuse|Minimax|Mirelo|Moonvalley|OpenAI|OpenRouter|Pik(a|ad|aff|asw)|Pixverse|Pruna"
    r"|Quiver|Recraft|Reve|Rodin3D|Runway|Sonilo|Stability|SyncLip|SyncTalk|Tencent|Topaz|Tripo|Veed|Veo|Vidu"
    r"|Wavespeed)|Api$"
)
"""How the classes are called that ComfyUI registers for other companies' services (`comfy_api_nodes`)."""

_WORDS: Final = (
    (r"eval|exec|python|script|shell|bash|command|javascript|expression|code(?!r|c)", RUNS_CODE),
    (r"url|http|download|webhook|fetch|request|websocket|upload", FETCHES),
    (r"path|folder|director(y|ies)|fromdir|(load|save|read|write).*file", READS_PATHS),
)  # fmt: skip


def why_refused(name: str) -> str | None:
    """What is known of a class that is not allowed, or what its name makes likely; None if nothing."""
    known = REFUSED.get(name)
    if known is not None:
        return known
    if _PARTNERS.search(name):
        return PARTNER
    return next(
        (f"by its name {why}" for words, why in _WORDS if re.search(words, name, re.IGNORECASE)), None
    )
