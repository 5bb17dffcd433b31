"""Networks without what was wrapped around them or put into their layers, where taking it off loses nothing."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

_WRAPPERS = (nn.DataParallel, DistributedDataParallel, AveragedModel)
_COMPILED = "_orig_mod"  # what `torch.compile` calls the network


def unwrapped(net: nn.Module) -> nn.Module:
    """The network itself, which computes in evaluation what it did.

    Wrappers are taken off it and off its layers. What computes weights before every call (pruning, parametrizations, weight
    norm, spectral norm) leaves what it computes.
    """
    while (inner := _inside(net)) is not None:  # whose truth is its length, if it is a sequence
        net = inner
    _settle(net)
    for name, child in list(net.named_children()):
        plain = unwrapped(child)
        if plain is not child:
            setattr(net, name, plain)
    return net


def _inside(net: nn.Module) -> nn.Module | None:
    """What a wrapper calls and nothing else; of a class of the user's own nobody knows that."""
    if _COMPILED in net._modules:
        return net.get_submodule(_COMPILED)
    kinds = [kind for kind in _WRAPPERS if isinstance(net, kind) and type(net).forward is kind.forward]
    return net.get_submodule("module") if kinds else None


def _settle(layer: nn.Module) -> None:
    """Weights that are computed before every call become parameters again."""
    for hook in list(layer._forward_pre_hooks.values()):
        match hook:
            case prune.BasePruningMethod():
                prune.remove(layer, hook._tensor_name)
            case WeightNorm():
                remove_weight_norm(layer, hook.name)
            case SpectralNorm():
                remove_spectral_norm(layer, hook.name)
    if parametrize.is_parametrized(layer):
        training = layer.training
        layer.eval()  # spectral norm goes on searching in train mode
        for name in list(layer.get_submodule("parametrizations")._modules):
            parametrize.remove_parametrizations(layer, name)
        layer.train(training)
