"""One part of a network exchanged for another: the quickest way to see what it was good for."""

import copy
from collections.abc import Callable

from torch import nn


def exchange(
    net: nn.Module, kind: type[nn.Module], make: Callable[[nn.Module], nn.Module]
) -> nn.Module:
    """A copy of a network in which every layer of one kind is replaced.

        exchange(net, nn.ReflectionPad2d, lambda old: nn.ZeroPad2d(old.padding))

    All other layers keep their weights, so two networks can differ in one part alone.

    Args:
        net: any network; it is not changed.
        kind: class of the layers to replace.
        make: takes the old layer, returns the new one.
    """
    net = copy.deepcopy(net)
    if isinstance(net, kind):
        return make(net)
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, kind):
                setattr(parent, name, make(child))
    return net
