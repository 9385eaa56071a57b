"""The node classes that a graph may use as shipped: ComfyUI's own, by family. Names only.

Taken from what ComfyUI registers itself (`nodes.py`, `comfy_extras`, seen on 0.3.64) and from the pages of
its help for newer ones (2026-10). Left out, with the reason in `refused_nodes.py`: whatever reads paths or
addresses, runs what a caller writes, or talks to a network.
"""

from __future__ import annotations

from typing import Final

FILES: Final = (
    "LoadAudio", "LoadImage", "LoadImageMask", "LoadImageOutput", "LoadLatent", "LoadVideo",
)  # fmt: skip
"""Load one file, which must be an own asset."""
LOADERS: Final = (
    "AudioEncoderLoader", "CheckpointLoader", "CheckpointLoaderSimple", "CLIPLoader", "CLIPVisionLoader",
    "ConditioningLoader", "ControlNetLoader", "DiffControlNetLoader", "DiffusersLoader", "DualCLIPLoader",
    "FrameInterpolationModelLoader", "GLIGENLoader", "HypernetworkLoader", "ImageOnlyCheckpointLoader",
    "LatentUpscaleModelLoader", "LoadBackgroundRemovalModel", "LoadDA3Model", "LoadLoraModel",
    "LoadLoraTextEncoder", "LoadMediaPipeFaceLandmarker", "LoadMoGeModel", "LoraLoader", "LoraLoaderBypass",
    "LoraLoaderBypassModelOnly", "LoraLoaderModelOnly", "LTXAVTextEncoderLoader", "LTXVAudioVAELoader",
    "ModelPatchLoader", "OpticalFlowLoader", "PhotoMakerLoader", "QuadrupleCLIPLoader", "SAM3DBody_Loader",
    "StyleModelLoader", "TripleCLIPLoader", "unCLIPCheckpointLoader", "UNETLoader", "UpscaleModelLoader",
    "VAELoader",
)  # fmt: skip
"""Load a model by a name that the server lists."""
SAVES: Final = (
    "ImageCompare", "MaskPreview", "PreviewAny", "PreviewAudio", "PreviewImage", "SAM3_TrackPreview",
    "Save3DAdvanced", "SaveAnimatedPNG", "SaveAnimatedWEBP", "SaveAudio", "SaveAudioAdvanced",
    "SaveAudioMP3", "SaveAudioOpus", "SaveConditioning", "SaveGaussianSplat", "SaveGLB", "SaveImage",
    "SaveImageAdvanced", "SaveImageWebsocket", "SaveLatent", "SavePointCloud", "SaveSVGNode", "SaveText",
    "SaveVideo", "SaveWEBM",
)  # fmt: skip
"""Save or show results, below the folder that the gateway gives them."""
TEXTS_AND_VALUES: Final = (
    "AddTextPrefix", "AddTextSuffix", "BranchNode", "BuildJsonPromptIdeogram", "CaseConverter",
    "ColorToRGBInt", "ComfyAndNode", "ComfyNotNode", "ComfyNumberConvert", "ComfyOrNode", "ComfySwitchNode",
    "ConvertArrayToString", "ConvertDictionaryToString", "CreateList", "CurveEditor", "CustomCombo",
    "EndLoop", "Flux3LayoutPrompt", "GetItemFromList", "JsonExtractString", "MergeImageLists",
    "MergeTextLists", "MOSSImageLayoutPrompt", "PrimitiveBoolean", "PrimitiveBoundingBox", "PrimitiveFloat",
    "PrimitiveInt", "PrimitiveString", "PrimitiveStringMultiline", "ReplaceText", "ResolutionSelector",
    "SeedNode", "ShuffleDataset", "ShuffleImageTextDataset", "ShuffleVideoDataset",
    "ShuffleVideoTextDataset", "StartLoop", "StringCompare", "StringConcatenate", "StringContains",
    "StringLength", "StringReplace", "StringSubstring", "StringTrim", "StripWhitespace", "TextGenerate",
    "TextGenerateLTX2Prompt", "TextToLowercase", "TextToUppercase", "TruncateText",
)  # fmt: skip
"""Numbers, texts, choices and loops; what is written in them is text, never a path."""
CONDITIONING: Final = (
    "BerniniConditioning", "CLIPAttentionMultiply", "CLIPSetLastLayer", "CLIPTextEncode",
    "CLIPTextEncodeControlnet", "CLIPTextEncodeFlux", "CLIPTextEncodeHiDream", "CLIPTextEncodeHunyuanDiT",
    "CLIPTextEncodeKandinsky5", "CLIPTextEncodeLumina2", "CLIPTextEncodePixArtAlpha", "CLIPTextEncodeSD3",
    "CLIPTextEncodeSDXL", "CLIPTextEncodeSDXLRefiner", "CLIPVisionEncode", "CombineHooks2", "CombineHooks4",
    "CombineHooks8", "ConditioningAverage", "ConditioningCombine", "ConditioningConcat",
    "ConditioningMultiply", "ConditioningSetArea", "ConditioningSetAreaPercentage",
    "ConditioningSetAreaPercentageVideo", "ConditioningSetAreaStrength", "ConditioningSetDefaultCombine",
    "ConditioningSetProperties", "ConditioningSetPropertiesAndCombine", "ConditioningSetTimestepRange",
    "ConditioningTimestepsRange", "ConditioningZeroOut", "ControlNetApply", "ControlNetApplyAdvanced",
    "ControlNetApplySD3", "ControlNetInpaintingAliMamaApply", "CreateHookKeyframe",
    "CreateHookKeyframesFromFloats", "CreateHookKeyframesInterpolated", "CreateHookLora",
    "CreateHookLoraModelOnly", "CreateHookModelAsLora", "CreateHookModelAsLoraModelOnly",
    "FluxDisableGuidance", "FluxGuidance", "FluxKontextMultiReferenceLatentMethod", "GLIGENTextBoxApply",
    "InpaintModelConditioning", "InstructPixToPixConditioning", "LotusConditioning", "LTXVConditioning",
    "MiniMaxH3FunControlNetApply", "PairConditioningCombine", "PairConditioningSetDefaultCombine",
    "PairConditioningSetProperties", "PairConditioningSetPropertiesAndCombine", "PhotoMakerEncode",
    "PiDConditioning", "QwenImageDiffsynthControlnet", "ReferenceLatent", "ReferenceMultiLatent",
    "SD_4XUpscale_Conditioning", "SeedVR2Conditioning", "SetClipHooks", "SetHookKeyframes",
    "SetUnionControlNetType", "StableCascade_StageB_Conditioning",
    "StableCascade_SuperResolutionControlnet", "StyleModelApply", "SVD_img2vid_Conditioning",
    "T5TokenizerOptions", "TextEncodeBooguEdit", "TextEncodeFibo2", "TextEncodeHunyuanVideo_ImageToVideo",
    "TextEncodeJoyImageEdit", "TextEncodeMageFlowEdit", "TextEncodeMingImageEdit",
    "TextEncodeMOSSImageEdit", "TextEncodeQwenImage21", "TextEncodeQwenImageEdit",
    "TextEncodeQwenImageEditPlus", "TextEncodeZImageOmni", "unCLIPConditioning", "USOStyleReference",
    "VOIDInpaintConditioning", "WanUni3CControlnetApply", "ZImageFunControlnet",
)  # fmt: skip
"""Prompts and what steers them: text encoders, areas, hooks, ControlNet, style models."""
SAMPLING: Final = (
    "AddNoise", "AlignYourStepsScheduler", "BasicGuider", "BasicScheduler", "BetaSamplingScheduler",
    "CFGGuider", "DisableNoise", "DualCFGGuider", "DualModelGuider", "Epsilon Scaling",
    "ExponentialScheduler", "ExtendIntermediateSigmas", "FlipSigmas", "Flux2Scheduler", "GITSScheduler",
    "Ideogram4Scheduler", "KarrasScheduler", "KSampler", "KSamplerAdvanced", "KSamplerSelect",
    "LaplaceScheduler", "LTXVDualCFGGuider", "LTXVScheduler", "ManualSigmas", "MiniMaxH3SigmaShift",
    "OptimalStepsScheduler", "PerpNegGuider", "PolyexponentialScheduler", "RandomNoise", "SamplerARVideo",
    "SamplerCustom", "SamplerCustomAdvanced", "SamplerDPMAdaptative", "SamplerDPMPP_2M_SDE",
    "SamplerDPMPP_2S_Ancestral", "SamplerDPMPP_3M_SDE", "SamplerDPMPP_SDE", "SamplerER_SDE",
    "SamplerEulerAncestral", "SamplerEulerAncestralCFGPP", "SamplerEulerCFGpp", "SamplerLCM",
    "SamplerLCMUpscale", "SamplerLMS", "SamplerSASolver", "SamplerSEEDS2", "SamplingPercentToSigma",
    "SDTurboScheduler", "SeedVR2ProgressiveSampler", "SetFirstSigma", "SplitSigmas", "SplitSigmasDenoise",
    "VOIDSampler", "VOIDWarpedNoise", "VPScheduler",
)  # fmt: skip
"""Samplers, schedulers, sigmas, guiders and noise."""
MODEL_PATCHES: Final = (
    "APG", "BlockSparseAttention", "CFGNorm", "CFGOverride", "CFGZeroStar", "ChromaRadianceOptions",
    "ContextWindowsManual", "DifferentialDiffusion", "EasyCache", "FluxKVCache", "FreeU", "FreeU_V2",
    "FreSca", "HyperTile", "LazyCache", "LTXVContextWindows", "LTXVModalityGuidance",
    "LTXVSpatioTemporalGuidance", "Mahiro", "ModelAttentionBackend", "ModelComputeDtype", "ModelNoiseScale",
    "ModelSamplingAuraFlow", "ModelSamplingContinuousEDM", "ModelSamplingContinuousV",
    "ModelSamplingDiscrete", "ModelSamplingFlux", "ModelSamplingLTXV", "ModelSamplingSD3",
    "ModelSamplingStableCascade", "NAGuidance", "PatchModelAddDownscale", "PerpNeg",
    "PerturbedAttentionGuidance", "QwenImage21Cache", "RenormCFG", "RescaleCFG", "ScaleROPE",
    "SelfAttentionGuidance", "SenseNovaSamplingOptions", "SkipLayerGuidanceDiT",
    "SkipLayerGuidanceDiTSimple", "SkipLayerGuidanceSD3", "SUPIRApply", "TCFG", "TemporalScoreRescaling",
    "TomePatchModel", "TorchCompileModel", "UNetCrossAttentionMultiply", "UNetSelfAttentionMultiply",
    "UNetTemporalAttentionMultiply", "VideoLinearCFGGuidance", "VideoTriangleCFGGuidance",
    "WanAnimate2Cache", "wanBlockSwap", "WanContextWindowsManual",
)  # fmt: skip
"""Change how a loaded model samples."""
MERGES: Final = (
    "AudioMerge", "CLIPMergeAdd", "CLIPMergeSimple", "CLIPMergeSubtract", "ImageMergeTileList",
    "ModelMergeAdd", "ModelMergeAuraflow", "ModelMergeBlocks", "ModelMergeCosmos14B", "ModelMergeCosmos7B",
    "ModelMergeCosmosPredict2_14B", "ModelMergeCosmosPredict2_2B", "ModelMergeFlux1", "ModelMergeKrea2",
    "ModelMergeLTXV", "ModelMergeMochiPreview", "ModelMergeMOSSImage", "ModelMergeQwenImage",
    "ModelMergeSD1", "ModelMergeSD2", "ModelMergeSD35_Large", "ModelMergeSD3_2B", "ModelMergeSDXL",
    "ModelMergeSimple", "ModelMergeSubtract", "ModelMergeWAN2_1", "SeedVR2TemporalMerge",
)  # fmt: skip
"""Mix loaded models in memory; saving the mix is not among these."""
LATENTS: Final = (
    "BatchLatentsNode", "EmptyChromaRadianceLatentImage", "EmptyFlux2LatentImage",
    "EmptyHiDreamO1LatentImage", "EmptyLatentImage", "EmptyQwenImageLayeredLatentImage",
    "EmptySD3LatentImage", "GetLatentSize", "LatentAdd", "LatentApplyOperation", "LatentApplyOperationCFG",
    "LatentBatch", "LatentBatchSeedBehavior", "LatentBlend", "LatentComposite", "LatentConcat",
    "LatentCrop", "LatentCut", "LatentCutToBatch", "LatentFlip", "LatentFromBatch", "LatentInterpolate",
    "LatentMultiply", "LatentOperationBlend", "LatentOperationSharpen", "LatentOperationTonemapReinhard",
    "LatentRotate", "LatentSubtract", "LatentUpscale", "LatentUpscaleBy", "RebatchLatents",
    "RepeatLatentBatch", "StableCascade_EmptyLatentImage", "StableCascade_StageC_VAEEncode", "VAEDecode",
    "VAEDecodeTiled", "VAEEncode", "VAEEncodeForInpaint", "VAEEncodeTiled",
)  # fmt: skip
"""Latent pictures and the way between them and pixels."""
IMAGES: Final = (
    "AddLayer", "AdjustBrightness", "AdjustContrast", "BatchImagesNode", "Canny", "CenterCropImages",
    "ColorTransfer", "CreateBoundingBoxes", "CropByBBoxes", "DrawBBoxes", "EmptyImage",
    "FluxKontextImageScale", "GetICLoRAParameters", "GetImageSize", "HiDreamO1PatchSeamSmoothing",
    "HiDreamO1ReferenceImages", "ImageAddNoise", "ImageBatch", "ImageBlend", "ImageBlur", "ImageColorSpace",
    "ImageCrop", "ImageCropV2", "ImageDeduplication", "ImageFlip", "ImageFromBatch", "ImageGrid",
    "ImageHistogram", "ImageInvert", "ImagePadForOutpaint", "ImageQuantize", "ImageRGBToYUV", "ImageRotate",
    "ImageScale", "ImageScaleBy", "ImageScaleToMaxDimension", "ImageScaleToTotalPixels", "ImageSDRToHDR",
    "ImageSharpen", "ImageStitch", "ImageUpscaleWithModel", "ImageYUVToRGB", "JoinImageWithAlpha",
    "LayersFromBoundingBoxes", "MarigoldV2PostProcess", "MediaPipeFaceLandmarker", "Morphology",
    "MOSSImageControl", "NormalizeImages", "PadImageNode", "PorterDuffImageComposite", "RandomCropImages",
    "RebatchImages", "RemoveBackground", "RepeatImageBatch", "ResizeAndPadImage",
    "ResizeImagesByLongerEdge", "ResizeImagesByShorterEdge", "RTDETR_detect", "SDPoseDrawKeypoints",
    "SDPoseFaceBBoxes", "SDPoseKeypointExtractor", "SplitImageToTileList", "SplitImageWithAlpha",
    "TextOverlay",
)  # fmt: skip
"""Pictures."""
MASKS: Final = (
    "BatchMasksNode", "ConditioningSetMask", "CropMask", "FeatherMask", "GrowMask", "ImageColorToMask",
    "ImageCompositeMasked", "ImageCropToMask", "ImageToMask", "InvertMask", "LatentCompositeMasked",
    "MaskComposite", "MaskToImage", "MediaPipeFaceMask", "ResizeImageMaskNode", "SAM3_Detect",
    "SAM3_TrackToMask", "SAM3_VideoTrack", "SCAIL2ColoredMask", "SetLatentNoiseMask", "SolidMask",
    "ThresholdMask",
)  # fmt: skip
"""Masks."""
VIDEO: Final = (
    "ConcatenateVideo", "CreateVideo", "FrameInterpolate", "GetVideoComponents", "Video Slice", "VideoCrop",
    "VideoFrameSample", "VideoRandomTemporalCrop", "VideoTemporalCrop", "VideoTrim",
)  # fmt: skip
"""Clips."""
VIDEO_MODELS: Final = (
    "AnimaLLLiteApply", "ARVideoI2V", "BuildPoseFile", "CosmosImageToVideoLatent",
    "CosmosPredict2ImageToVideoLatent", "EmptyARVideoLatent", "EmptyCosmosLatentVideo",
    "EmptyHunyuanImageLatent", "EmptyHunyuanLatentVideo", "EmptyHunyuanVideo15Latent",
    "EmptyLTXVLatentVideo", "EmptyMiniMaxH3LatentAV", "EmptyMochiLatentVideo", "GenerateTracks",
    "HunyuanImageToVideo", "HunyuanRefinerLatent", "HunyuanVideo15ImageToVideo",
    "HunyuanVideo15LatentUpscaleWithModel", "HunyuanVideo15SuperResolution", "Kandinsky5ImageToVideo",
    "LTXVAddGeneratedKeyframes", "LTXVAddGuide", "LTXVAddLatentGuide", "LTXVConcatAVLatent",
    "LTXVCropGuides", "LTXVDurationPredictor", "LTXVFreezeLatent", "LTXVGeneratedKeyframesToGuides",
    "LTXVImgToVideo", "LTXVImgToVideoInplace", "LTXVLatentUpsampler", "LTXVPreprocess",
    "LTXVSeparateAVLatent", "LTXVSeparateGeneratedKeyframes", "MiniMaxH3AddGuide", "MiniMaxH3ImageToVideo",
    "MiniMaxH3ReferenceToVideo", "NormalizeVideoLatentStart", "ReplaceVideoLatentFrames",
    "SAM3DBody_FaceExpression", "SAM3DBody_Predict", "SAM3DBody_Render", "SAM3DBody_Smooth",
    "SeedVR2PostProcessing", "SeedVR2Preprocess", "SeedVR2TemporalChunk", "TrimVideoLatent",
    "VOIDQuadmaskPreprocess", "VOIDWarpedNoiseSource", "Wan22FunControlToVideo", "Wan22ImageToVideoLatent",
    "WanAnimate2ToVideo", "WanAnimateToVideo", "WanCameraEmbedding", "WanCameraImageToVideo",
    "WanDancerPadKeyframes", "WanDancerPadKeyframesList", "WanDancerVideo", "WanFirstLastFrameToVideo",
    "WanFunControlToVideo", "WanFunInpaintToVideo", "WanHuMoImageToVideo", "WanImageToVideo",
    "WanInfiniteTalkToVideo", "WanMoveConcatTrack", "WanMoveTracksFromCoords", "WanMoveTrackToVideo",
    "WanMoveVisualizeTracks", "WanPhantomSubjectToVideo", "WanSCAILToVideo", "WanSoundImageToVideo",
    "WanSoundImageToVideoExtend", "WanTrackToVideo", "WanVaceToVideo",
)  # fmt: skip
"""Conditioning and latents of the video model families (Wan, LTXV, Hunyuan, Cosmos, and so on)."""
AUDIO: Final = (
    "AudioAdjustVolume", "AudioConcat", "AudioEncoderEncode", "AudioEqualizer3Band",
    "ConditioningStableAudio", "EmptyAceStep1.5LatentAudio", "EmptyAceStepLatentAudio", "EmptyAudio",
    "EmptyLatentAudio", "EmptyMiniMaxMusic3LatentAudio", "EmptyYuE2LatentAudio", "GetAudioLatentSize",
    "JoinAudioChannels", "LTXVAudioVAEDecode", "LTXVAudioVAEEncode", "LTXVEmptyLatentAudio",
    "LTXVReferenceAudio", "MiniMaxMusic3TextEncode", "ReferenceTimbreAudio", "SheetSage2AudioToABC",
    "SplitAudioChannels", "TextEncodeAceStepAudio", "TextEncodeAceStepAudio1.5", "TrimAudioDuration",
    "VAEDecodeAudio", "VAEDecodeAudioTiled", "VAEEncodeAudio", "WanDancerEncodeAudio", "YuE2GenerateABC",
    "YuE2GenerateMusic",
)  # fmt: skip
"""Sound and music."""
THREE_D: Final = (
    "ApplyTextureToMesh", "BakeAmbientOcclusion", "BakeNormalMapFromMesh", "BakeTextureFromVoxel",
    "CameraAngle", "CreateCameraInfo", "DA3GeometryToMesh", "DA3Inference", "DA3Render", "DecimateMesh",
    "EmptyLatentHunyuan3Dv2", "EmptyTrellis2LatentStructure", "File3DToSplat", "FillHoles",
    "Get3DComponents", "GetMeshInfo", "GetSplatCount", "Hunyuan3Dv2Conditioning",
    "Hunyuan3Dv2ConditioningMultiView", "MediaPipeFaceMeshVisualize", "MergeMeshes", "MergeSplat",
    "MeshSmoothNormals", "MeshTextureToImage", "MeshToFile3D", "MoGeGeometryToFOV", "MoGeInference",
    "MoGePanoramaInference", "MoGePointMapToMesh", "MoGeRender", "PaintMesh", "Pixal3DConditioning",
    "Pixal3DMultiViewConditioning", "RemeshMesh", "RenderMesh", "RenderSplat", "RenderUVAtlas",
    "RotateMesh", "SplatToFile3D", "SplatToMesh", "StableZero123_Conditioning",
    "StableZero123_Conditioning_Batched", "SV3D_Conditioning", "TransformSplat", "Trellis2Conditioning",
    "Trellis2ShapeStage", "Trellis2TextureStage", "Trellis2UpsampleStage", "TripoSplatConditioning",
    "TripoSplatPreprocessImage", "TripoSplatSamplingPreview", "UnwrapMesh", "VAEDecodeHunyuan3D",
    "VaeDecodeShapeTrellis", "VaeDecodeStructureTrellis2", "VaeDecodeTextureTrellis", "VAEDecodeTripoSplat",
    "VoxelToMesh", "VoxelToMeshBasic", "WeldVertices",
)  # fmt: skip
"""Meshes, splats and depth."""
VIDEO_HELPER_SUITE: Final = (
    "VHS_LoadAudioUpload", "VHS_LoadVideo", "VHS_LoadVideoFFmpeg", "VHS_VideoCombine",
)  # fmt: skip
"""Of the widespread VideoHelperSuite: what loads an own asset, and what writes to the output folder."""

CORE_NODES: Final = frozenset((
    *FILES, *LOADERS, *SAVES, *TEXTS_AND_VALUES, *CONDITIONING, *SAMPLING, *MODEL_PATCHES,
    *MERGES, *LATENTS, *IMAGES, *MASKS, *VIDEO, *VIDEO_MODELS, *AUDIO, *THREE_D, *VIDEO_HELPER_SUITE,
))  # fmt: skip
"""Every node class that is allowed as shipped."""
