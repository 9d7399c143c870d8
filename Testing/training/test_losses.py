"""The training loss against the published values (spec section 5)."""

from types import SimpleNamespace

import pytest
import torch

from parity_rules import fill, image, labels, load_json, no_dropout, noise
from training.losses import SegmentationLoss, VeloxSegLoss, one_hot

FIXTURE = load_json("losses")
CASES = sorted(FIXTURE["cases"])


def synthetic(name: str) -> tuple[SimpleNamespace, torch.Tensor, torch.Tensor]:
    """(outputs with gradients, image, label) of one fixture case."""
    case = FIXTURE["cases"][name]
    batch, size, gram_size = case["batch"], case["size"], case["gram_size"]

    def leaf(tensor: str, channels: int, factor: float) -> torch.Tensor:
        return (factor * noise(f"loss|{name}|{tensor}", (batch, channels, *size))).requires_grad_()

    def gram(tensor: str) -> torch.Tensor:
        a = noise(f"loss|{name}|{tensor}", (batch, gram_size, gram_size))
        return ((a + a.transpose(1, 2)) / 2).requires_grad_()

    output = SimpleNamespace(
        seg=[leaf(f"seg{j + 1}", case["n_classes"], 2) for j in range(case["n_seg_outputs"])],
        reconstruction=leaf("recon", case["image_channels"], 0.5),
        gram_seg=gram("gram_seg"),
        gram_teachers=[gram(f"gram_rec{m}") for m in range(case["modalities"])],
    )
    target = noise(f"loss|{name}|target", (batch, case["image_channels"], *size))
    return output, target, labels(batch, size, case["n_classes"])


@pytest.mark.parametrize("name", CASES)
def test_terms_and_total_are_the_published_ones(name):
    case = FIXTURE["cases"][name]
    terms = VeloxSegLoss()(*synthetic(name))
    assert [t.item() for t in terms.cross_entropy] == pytest.approx(case["ce"], rel=1e-5)
    assert [t.item() for t in terms.dice] == pytest.approx(case["dice"], rel=1e-5)
    assert terms.reconstruction.item() == pytest.approx(case["recon_mse"], rel=1e-5)
    assert terms.sdkt.item() == pytest.approx(sum(case["gram_mse"]) / len(case["gram_mse"]), rel=1e-5)
    assert terms.total.item() == pytest.approx(case["total"], rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_every_output_gets_the_published_gradient(name):
    expected = FIXTURE["cases"][name]["grad_l2"]
    output, target, label = synthetic(name)
    VeloxSegLoss()(output, target, label).total.backward()
    assert [t.grad.norm().item() for t in output.seg] == pytest.approx(expected["seg"], rel=1e-4)
    assert output.reconstruction.grad.norm().item() == pytest.approx(expected["recon"], rel=1e-4)
    assert output.gram_seg.grad.norm().item() == pytest.approx(expected["gram_seg"], rel=1e-4)
    gradients = [t.grad.norm().item() for t in output.gram_teachers]
    assert gradients == pytest.approx(expected["gram_rec"], rel=1e-4)


def test_weights_are_arguments():
    output, target, label = synthetic("binary_2modal")
    plain = VeloxSegLoss()(output, target, label)
    weighted = VeloxSegLoss(segmentation_weight=3, reconstruction_weight=5, sdkt_weight=7)(output, target, label)
    segmentation = sum(plain.cross_entropy + plain.dice) / 4
    expected = 3 * segmentation + 5 * plain.reconstruction + 7 * plain.sdkt
    assert weighted.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert weighted.sdkt.item() == plain.sdkt.item()


def test_without_teachers_their_terms_are_zero():
    output, target, label = synthetic("binary_2modal")
    output.reconstruction, output.gram_seg, output.gram_teachers = None, None, []
    terms = VeloxSegLoss()(output, target, label)
    assert terms.reconstruction.item() == terms.sdkt.item() == 0
    assert terms.total.item() == pytest.approx((sum(terms.cross_entropy + terms.dice) / 4).item(), rel=1e-6)
    terms.total.backward()
    assert output.seg[0].grad.abs().sum() > 0


def test_label_types_do_not_matter():
    output, target, label = synthetic("multi_1modal")
    expected = VeloxSegLoss()(output, target, label).total.item()
    for dtype in (torch.uint8, torch.int16, torch.float32):
        assert VeloxSegLoss()(output, target, label.to(dtype)).total.item() == expected


def test_relative_logits_give_the_same_terms():
    output, target, label = synthetic("multi_1modal")
    expected = VeloxSegLoss()(output, target, label)
    output.seg, output.relative = [logits[:, 1:] - logits[:, :1] for logits in output.seg], True
    terms = VeloxSegLoss()(output, target, label)
    assert terms.total.item() == pytest.approx(expected.total.item(), rel=1e-6)


@pytest.mark.parametrize("classes", (2, 4))
def test_gradients_of_the_segmentation_loss_are_slopes(classes):
    logits = torch.randn(2, classes - 1, 30, dtype=torch.float64, requires_grad=True)
    target = one_hot(torch.randint(0, classes, (2, 1, 30)), logits)
    assert torch.autograd.gradcheck(lambda z: SegmentationLoss.apply(z, target), logits)


def test_half_precision_outputs_are_summed_in_float32():
    output, target, label = synthetic("multi_1modal")
    expected = VeloxSegLoss()(output, target, label).total.item()
    half = SimpleNamespace(
        seg=[t.bfloat16() for t in output.seg],
        reconstruction=output.reconstruction.bfloat16(),
        gram_seg=output.gram_seg.bfloat16(),
        gram_teachers=[t.bfloat16() for t in output.gram_teachers],
    )
    total = VeloxSegLoss()(half, target, label).total
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(expected, rel=5e-3)


def test_five_optimizer_steps_follow_the_published_ones():
    from veloxseg.networks import VeloxSeg

    torch.set_num_threads(1)
    tiny = load_json("tiny")
    network = no_dropout(fill(VeloxSeg(**tiny["config"])))
    x = image(tuple(tiny["input_shape"]))
    y = labels(tiny["batch"], tiny["config"]["input_size"], tiny["config"]["n_classes"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=2.5e-4, weight_decay=0.01)
    criterion, seen = VeloxSegLoss(), []
    for _ in range(5):
        loss = criterion(network(x), x, y).total
        seen.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert seen == pytest.approx(FIXTURE["tiny_adamw_steps"]["losses"], rel=1e-3)
