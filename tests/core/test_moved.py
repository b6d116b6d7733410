"""Class paths that configs and saved models of earlier versions hold still name a class."""

import pytest
from omegaconf import OmegaConf

from mmbert.cli.options.source import definition, module_file
from mmbert.core.init_args import find_class
from mmbert.core.moved import MOVED, current_path, first_path

#: Every class path in conf/ as it was in the version before the package's folders were rearranged, by package.
EARLIER = {
    "mmbert.analysis": """
        robustness.Robustness
    """,
    "mmbert.data.augment": """
        augmentation.Augmentation
    """,
    "mmbert.data": """
        datamodule.MultimodalData huggingface.HuggingFaceData synthetic.SyntheticModalities
        talking_digits.TalkingDigits
    """,
    "mmbert.encoders": """
        audio.SpeechEncoder conformer.ConformerEncoder features.FeatureEncoder image.ImageEncoder
        melspec_cnn.MelspecCNN text.TextEncoder
    """,
    "mmbert.fusion": """
        adapter.AdapterFusion adapter.Concatenate attention_pool.AttentionPoolFusion bilinear.BilinearFusion
        block.BlockFusion bottleneck.BottleneckFusion co_attention.CoAttentionFusion concat.ConcatFusion
        contrastive.ContrastiveFusion cross_attention.CrossAttentionFusion deep_sets.DeepSetsFusion
        embracenet.EmbraceNetFusion film.FilmFusion flamingo.FlamingoFusion gmu.GMUFusion late_mean.LateMeanFusion
        late_product.LateProductFusion late_weighted.LateWeightedFusion low_rank.LowRankFusion mag.MAGFusion
        max.MaxFusion mcb.MCBFusion mean.MeanFusion mfb.MFBFusion misa.MISAFusion
        missing_aware_prompts.MissingAwarePromptsFusion mixture_of_experts.MixtureOfExpertsFusion mlb.MLBFusion
        mult.MultFusion mutan.MUTANFusion perceiver.PerceiverFusion product.ProductFusion
        product_of_experts.ProductOfExpertsFusion qmf.QMFFusion reconstruction.ReconstructionFusion
        single_stream.SingleStreamFusion stacking.StackingFusion tensor_fusion.TensorFusion tmc.TMCFusion
        weighted_sum.WeightedSumFusion
    """,
    "mmbert.tasks": """
        classification.Classification multilabel.Multilabel regression.Regression
    """,
    "mmbert.training": """
        balance.FixedBalance balance.UncertaintyBalance optim.AdamWOptimizer optim.WarmupConstant
        optim.WarmupCosine
    """,
    "mmbert.training.balance_modalities": """
        dropout_schedule.ModalityDropoutSchedule gradient_blending.GradientBlending ogm_ge.OGMGE
    """,
}
PATHS = [f"{package}.{name}" for package, names in EARLIER.items() for name in names.split()]


@pytest.mark.parametrize("path", PATHS)
def test_every_earlier_class_path_leads_to_a_class(path: str) -> None:
    module, _, name = current_path(path).rpartition(".")
    file = module_file(module)
    assert file is not None and definition(file, name) is not None


def test_the_table_names_only_what_has_gone() -> None:
    def stands(path: str) -> bool:
        """Whether a package, a module or, of a path without a dot at its end, a class is there."""
        module, _, name = path.rpartition(".")
        file = module_file(module)
        return file is not None and (not name or definition(file, name) is not None)

    for old, new in MOVED.items():
        assert not stands(old) and stands(new)
        assert first_path(current_path(f"{old}x.Y" if old.endswith(".") else old)).startswith(old)
    assert current_path("mmbert.fusion.mean.MeanFusion") == "mmbert.fusion.mean.MeanFusion"
    assert current_path("my_lab.Mine") == "my_lab.Mine"


def test_a_class_is_found_and_built_by_its_earlier_path() -> None:
    from mmbert.training.instantiate import make
    from mmbert.training.modality_balance.ogm_ge import OGMGE

    path = "mmbert.training.balance_modalities.ogm_ge.OGMGE"
    assert find_class(path) is OGMGE
    part = OmegaConf.create({"_target_": path, "alpha": 0.5})
    made = make(part, seed=3)
    assert type(made) is OGMGE and made.alpha == 0.5
    assert part._target_ == path  # the config that is saved with the run stays as it was given
