"""The node classes of ComfyUI itself that a graph of an account's own may use; and some others, with why not.

Names as ComfyUI registers them (seen on 0.3.64 and in templates of later versions). Left out is what reads
paths or addresses, runs code, talks to a network, trains, or writes more than results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PICTURES: Final = _names(
    """
    Canny CaseConverter CreateVideo CropMask FeatherMask GetImageSize GetVideoComponents GrowMask
    ImageAddNoise ImageBlend ImageBlur ImageColorToMask ImageCompositeMasked ImageCrop ImageFlip
    ImageFromBatch ImageQuantize ImageRGBToYUV ImageRotate ImageScaleToMaxDimension
    ImageScaleToTotalPixels ImageSharpen ImageStitch ImageToMask ImageUpscaleWithModel ImageYUVToRGB
    InvertMask JoinImageWithAlpha LatentCompositeMasked LoadVideo MaskComposite MaskPreview MaskToImage
    Morphology PorterDuffImageComposite PreviewAny PrimitiveBoolean PrimitiveFloat PrimitiveInt
    PrimitiveString PrimitiveStringMultiline RebatchImages RebatchLatents RepeatImageBatch
    ResizeAndPadImage SaveAnimatedPNG SaveAnimatedWEBP SaveSVGNode SaveVideo SaveWEBM SolidMask
    SplitImageWithAlpha StringCompare StringConcatenate StringContains StringLength StringReplace
    StringSubstring StringTrim ThresholdMask UpscaleModelLoader
    """
)
"""Pictures, masks, clips, values."""

MODELS: Final = _names(
    """
    CLIPLoader CLIPSetLastLayer CLIPTextEncode CLIPVisionEncode CLIPVisionLoader CheckpointLoader
    CheckpointLoaderSimple ConditioningAverage ConditioningCombine ConditioningConcat
    ConditioningSetArea ConditioningSetAreaPercentage ConditioningSetAreaStrength ConditioningSetMask
    ConditioningSetTimestepRange ConditioningZeroOut ControlNetApply ControlNetApplyAdvanced
    ControlNetLoader DiffControlNetLoader DualCLIPLoader EmptyImage EmptyLatentImage GLIGENLoader
    GLIGENTextBoxApply ImageBatch ImageInvert ImagePadForOutpaint ImageScale ImageScaleBy
    InpaintModelConditioning KSampler KSamplerAdvanced LatentBlend LatentComposite LatentCrop LatentFlip
    LatentFromBatch LatentRotate LatentUpscale LatentUpscaleBy LoadImage LoadImageMask LoadLatent
    LoraLoader LoraLoaderModelOnly PreviewImage RepeatLatentBatch SaveImage SaveLatent
    SetLatentNoiseMask StyleModelApply StyleModelLoader UNETLoader VAEDecode VAEDecodeTiled VAEEncode
    VAEEncodeForInpaint VAEEncodeTiled VAELoader unCLIPCheckpointLoader unCLIPConditioning
    """
)
"""The first nodes: load by name, encode, sample, decode, save."""

SAMPLING: Final = _names(
    """
    APG AddNoise AlignYourStepsScheduler BasicGuider BasicScheduler BetaSamplingScheduler CFGGuider
    CFGNorm CFGZeroStar CLIPAttentionMultiply ContextWindowsManual DifferentialDiffusion DisableNoise
    DualCFGGuider EasyCache ExponentialScheduler ExtendIntermediateSigmas FlipSigmas FreSca FreeU
    FreeU_V2 GITSScheduler HyperTile HypernetworkLoader KSamplerSelect KarrasScheduler LaplaceScheduler
    LatentAdd LatentApplyOperation LatentApplyOperationCFG LatentBatch LatentBatchSeedBehavior
    LatentConcat LatentCut LatentInterpolate LatentMultiply LatentOperationSharpen
    LatentOperationTonemapReinhard LatentSubtract LazyCache Mahiro ModelComputeDtype
    ModelSamplingAuraFlow ModelSamplingContinuousEDM ModelSamplingContinuousV ModelSamplingDiscrete
    ModelSamplingFlux ModelSamplingSD3 ModelSamplingStableCascade OptimalStepsScheduler
    PatchModelAddDownscale PerpNeg PerpNegGuider PerturbedAttentionGuidance PolyexponentialScheduler
    RandomNoise ReferenceLatent RescaleCFG SDTurboScheduler SamplerCustom SamplerCustomAdvanced
    SamplerDPMAdaptative SamplerDPMPP_2M_SDE SamplerDPMPP_2S_Ancestral SamplerDPMPP_3M_SDE
    SamplerDPMPP_SDE SamplerER_SDE SamplerEulerAncestral SamplerEulerAncestralCFGPP SamplerEulerCFGpp
    SamplerLCMUpscale SamplerLMS SamplerSASolver SamplingPercentToSigma SelfAttentionGuidance
    SetFirstSigma SkipLayerGuidanceDiT SkipLayerGuidanceDiTSimple SplitSigmas SplitSigmasDenoise TCFG
    TomePatchModel UNetCrossAttentionMultiply UNetSelfAttentionMultiply UNetTemporalAttentionMultiply
    VPScheduler WanContextWindowsManual
    """
) | {"Epsilon Scaling"}
"""Samplers, schedulers, guidance, latents, patches of models in memory."""

FAMILIES: Final = _names(
    """
    AudioAdjustVolume AudioConcat AudioEncoderEncode AudioEncoderLoader AudioMerge
    CLIPTextEncodeControlnet CLIPTextEncodeFlux CLIPTextEncodeHiDream CLIPTextEncodeHunyuanDiT
    CLIPTextEncodeLumina2 CLIPTextEncodePixArtAlpha CLIPTextEncodeSD3 CLIPTextEncodeSDXL
    CLIPTextEncodeSDXLRefiner ChromaRadianceOptions ConditioningSetAreaPercentageVideo
    ConditioningStableAudio ControlNetApplySD3 ControlNetInpaintingAliMamaApply CosmosImageToVideoLatent
    CosmosPredict2ImageToVideoLatent EmptyAceStepLatentAudio EmptyAudio EmptyChromaRadianceLatentImage
    EmptyCosmosLatentVideo EmptyHunyuanImageLatent EmptyHunyuanLatentVideo EmptyLTXVLatentVideo
    EmptyLatentAudio EmptyLatentHunyuan3Dv2 EmptyMochiLatentVideo EmptySD3LatentImage
    FluxDisableGuidance FluxGuidance FluxKontextImageScale FluxKontextMultiReferenceLatentMethod
    Hunyuan3Dv2Conditioning Hunyuan3Dv2ConditioningMultiView HunyuanImageToVideo HunyuanRefinerLatent
    ImageOnlyCheckpointLoader InstructPixToPixConditioning LTXVAddGuide LTXVConditioning LTXVCropGuides
    LTXVImgToVideo LTXVPreprocess LTXVScheduler LoadAudio LotusConditioning ModelPatchLoader
    ModelSamplingLTXV PhotoMakerEncode PhotoMakerLoader PreviewAudio QuadrupleCLIPLoader
    QwenImageDiffsynthControlnet RenormCFG SD_4XUpscale_Conditioning SV3D_Conditioning
    SVD_img2vid_Conditioning SaveAudio SaveAudioMP3 SaveAudioOpus SaveGLB SetUnionControlNetType
    SkipLayerGuidanceSD3 SplitAudioChannels StableCascade_EmptyLatentImage
    StableCascade_StageB_Conditioning StableCascade_StageC_VAEEncode
    StableCascade_SuperResolutionControlnet StableZero123_Conditioning
    StableZero123_Conditioning_Batched T5TokenizerOptions TextEncodeAceStepAudio
    TextEncodeHunyuanVideo_ImageToVideo TextEncodeQwenImageEdit TextEncodeQwenImageEditPlus
    TrimAudioDuration TrimVideoLatent TripleCLIPLoader USOStyleReference VAEDecodeAudio
    VAEDecodeHunyuan3D VAEEncodeAudio VideoLinearCFGGuidance VideoTriangleCFGGuidance VoxelToMesh
    VoxelToMeshBasic Wan22FunControlToVideo Wan22ImageToVideoLatent WanAnimateToVideo WanCameraEmbedding
    WanCameraImageToVideo WanFirstLastFrameToVideo WanFunControlToVideo WanFunInpaintToVideo
    WanHuMoImageToVideo WanImageToVideo WanPhantomSubjectToVideo WanSoundImageToVideo
    WanSoundImageToVideoExtend WanTrackToVideo WanVaceToVideo
    """
)
"""What single model families need; sound."""

MERGING: Final = _names(
    """
    CLIPMergeAdd CLIPMergeSimple CLIPMergeSubtract ModelMergeAdd ModelMergeAuraflow ModelMergeBlocks
    ModelMergeCosmos14B ModelMergeCosmos7B ModelMergeCosmosPredict2_14B ModelMergeCosmosPredict2_2B
    ModelMergeFlux1 ModelMergeLTXV ModelMergeMochiPreview ModelMergeQwenImage ModelMergeSD1
    ModelMergeSD2 ModelMergeSD35_Large ModelMergeSD3_2B ModelMergeSDXL ModelMergeSimple
    ModelMergeSubtract ModelMergeWAN2_1
    """
)
"""Models mixed in memory; saving them is refused."""

LATER: Final = _names(
    """
    BatchImagesNode CFGOverride ColorTransfer CombineHooks2 CombineHooks4 CombineHooks8
    ConditioningSetDefaultCombine ConditioningSetProperties ConditioningSetPropertiesAndCombine
    ConditioningTimestepsRange CreateHookKeyframe CreateHookKeyframesInterpolated CreateHookLora
    CreateHookLoraModelOnly EmptyAceStep1.5LatentAudio EmptyFlux2LatentImage EmptyHiDreamO1LatentImage
    EmptyHunyuanVideo15Latent EmptyQwenImageLayeredLatentImage Flux2Scheduler FluxKVCache
    FrameInterpolate FrameInterpolationModelLoader HunyuanVideo15ImageToVideo
    HunyuanVideo15LatentUpscaleWithModel HunyuanVideo15SuperResolution ImageCropToMask
    LTXAVTextEncoderLoader LTXVAudioVAEDecode LTXVAudioVAEEncode LTXVAudioVAELoader LTXVConcatAVLatent
    LTXVEmptyLatentAudio LTXVImgToVideoInplace LTXVLatentUpsampler LTXVSeparateAVLatent LatentCutToBatch
    LatentUpscaleModelLoader LoadBackgroundRemovalModel ManualSigmas ModelNoiseScale
    PairConditioningCombine PairConditioningSetDefaultCombine PairConditioningSetProperties
    PairConditioningSetPropertiesAndCombine RemoveBackground ResizeImageMaskNode
    ResizeImagesByLongerEdge ResolutionSelector SamplerLCM ScaleROPE SeedNode SetClipHooks
    SetHookKeyframes TextEncodeAceStepAudio1.5 VAEDecodeAudioTiled WanInfiniteTalkToVideo
    WanMoveConcatTrack WanMoveTrackToVideo WanSCAILToVideo
    """
)
"""Later than 0.3.64, and hooks."""

CORE_NODES: Final = PICTURES | MODELS | SAMPLING | FAMILIES | MERGING | LATER

_WHY: Final[Mapping[str, str]] = {
    "it writes models to the server's disk": """
        CLIPSave CheckpointSave ImageOnlyCheckpointSave LoraSave ModelSave SaveLoRANode VAESave
    """,
    "it reads a folder of the server": """
        DiffusersLoader LoadImageSetFromFolderNode LoadImageTextSetFromFolderNode
    """,
    "it reads what others made on the server": """
        LoadImageOutput
    """,
    "it reads files that are named inside a structured value": """
        Load3D Load3DAnimation
    """,
    "it shows a file by its path": """
        Preview3D Preview3DAnimation
    """,
    "it trains models": """
        LoraModelLoader LossGraphNode TrainLoraNode
    """,
    "it uses devices of the server or the browser": """
        RecordAudio WebcamCapture
    """,
    "it runs a regular expression of the caller, which can take for ever": """
        RegexExtract RegexMatch RegexReplace
    """,
    "it compiles code on the server": """
        TorchCompileModel
    """,
    "it fetches an address": """
        LoadImageFromUrl LoadImageFromURL LoadImageFromHttp LoadVideoFromUrl LoadAudioFromUrl
        DownloadModel DownloadAndLoadModel HFDownloader CivitaiDownloader ETN_LoadImageFromUrl
        VHS_LoadAudioFromUrl FetchUrl HttpRequest WebRequest
    """,
    "it reads a path of the server": """
        LoadImageFromPath LoadVideoFromPath LoadAudioFromPath LoadTextFile LoadImagesFromFolder
        LoadImagesFromDir VHS_LoadVideoPath VHS_LoadVideoFFmpegPath VHS_LoadImagesPath VHS_LoadImagePath
        VHS_LoadAudio LoadImageListFromDir ReadFile
    """,
    "it runs code of the caller": """
        ExecutePython PythonScript RunPython PyExec EvalPython EvaluateInts EvaluateFloats
        EvaluateStrings SimpleEval ComfyMathExpression GLSLShader JavascriptExecutor ShellCommand
        RunCommand BashScript
    """,
    "it writes to a path of the caller": """
        SaveImageToPath SaveTextFile WriteFile VHS_SaveToPath ImageSaveWithPath SaveImageS3 UploadToS3
    """,
}
REFUSED_NODES: Final[Mapping[str, str]] = {
    name: reason for reason, names in _WHY.items() for name in _names(names)
}
"""Classes that are refused by name, with what they do. Any other is refused without one."""
