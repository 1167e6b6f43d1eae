"""Right and wrong answers to the exercises on VGG; see ``tests/test_exercises.py``."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from utils.models import SmallVGG
from utils.models.vgg import VGGBlock


class Features(nn.Module):
    """The features with ReLU and pooling as functions, which no list of layers shows."""

    def __init__(self, plan):
        super().__init__()
        widths = [entry for entry in plan if entry != "M"]
        self.plan = plan
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding="same") for a, b in zip([3, *widths], widths, strict=False)
        )

    def forward(self, x):
        convs = iter(self.convs)
        for entry in self.plan:
            x = F.max_pool2d(x, 2) if entry == "M" else F.relu(next(convs)(x))
        return x


def layers_of(plan, *, channels=3, relu=True, pool=2, norm=False, forget=False, dilation=1):
    layers = []
    for entry in plan:
        if entry == "M":
            layers.append(nn.MaxPool2d(pool))
            continue
        layers.append(nn.Conv2d(channels, entry, 3, padding=dilation, dilation=dilation))
        if norm:
            layers.append(nn.BatchNorm2d(entry))
        if relu:
            layers.append(nn.ReLU())
        channels = channels if forget else entry
    return nn.Sequential(*layers)


def doubled_relu_before_pool_only(plan):
    """A ReLU in front of each pooling alone."""
    layers, channels = [], 3
    for entry in plan:
        if entry == "M":
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        else:
            layers.append(nn.Conv2d(channels, entry, 3, padding=1))
            channels = entry
    return nn.Sequential(*layers)


def grown(plan):
    """Takes its plan apart while reading it."""
    network = layers_of(plan)
    plan.append("M")
    return network


def compare_by_layers(c_in, c_out, n):
    stack = sum(p.numel() for i in range(n) for p in nn.Conv2d(c_out if i else c_in, c_out, 3).parameters())
    return stack, sum(p.numel() for p in nn.Conv2d(c_in, c_out, 2 * n + 1).parameters())


def weights(a, b, kernel, bias=True):
    return kernel * kernel * a * b + b * bias


def block(i, o, n, *, norm=False, pool=None, slope=0.0, before=False):
    layers = [pool or nn.MaxPool2d(2)] if before else []
    for k in range(n):
        layers.append(nn.Conv2d(o if k else i, o, 3, padding=1))
        if norm:
            layers.append(nn.BatchNorm2d(o))
        layers.append(nn.LeakyReLU(slope) if slope else nn.ReLU())
    return nn.Sequential(*layers) if before else nn.Sequential(*layers, pool or nn.MaxPool2d(2))


def without_relu(i, o, n):
    convs = [nn.Conv2d(o if k else i, o, 3, padding=1) for k in range(n)]
    return nn.Sequential(*convs, nn.MaxPool2d(2))


class Averaged(nn.Module):
    def __init__(self, model, classes):
        super().__init__()
        self.features, self.last = model.features, nn.Linear(64, classes)

    def forward(self, x):
        return self.last(self.features(x).mean((2, 3)))


class Summed(Averaged):
    def forward(self, x):
        return self.last(self.features(x).sum((2, 3)))


def dense_first(model, classes):
    """Flatten each map to a row, and average the rows."""

    class Net(Averaged):
        def forward(self, x):
            return self.last(self.features(x).flatten(2).mean(-1))

    return Net(model, classes)


def untouched_features_lost(model, classes):
    fresh = SmallVGG(classes, model.in_channels)
    return nn.Sequential(fresh.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def last_by_setattr(model, classes):
    name = list(dict(model.classifier.named_children()))[-1]
    setattr(model.classifier, name, nn.Linear(model.classifier[-1].in_features, classes))
    return model


def sliced(model, classes):
    model.classifier = nn.Sequential(*model.classifier[:-1], nn.Linear(model.classifier[-1].weight.shape[1], classes))
    return model


def fixed_width(model, classes):
    model.classifier[6] = nn.Linear(4096, classes)
    return model


def fc(model, classes):
    model.fc = nn.Linear(32, classes)
    return model


def head(model, classes):
    model.head = nn.Linear(10, classes)
    return model


def behind(model, classes):
    return nn.Sequential(model, nn.Linear(model.classifier[6].out_features, classes))


def all_new(model, classes):
    for place in (0, 3, 6):
        old = model.classifier[place]
        model.classifier[place] = nn.Linear(old.in_features, classes if place == 6 else old.out_features)
    return model


def the_layer(model, classes):
    model.classifier[6] = nn.Linear(model.classifier[6].in_features, classes)
    return model.classifier[6]


RIGHT = {
    "features": [Features, lambda plan: nn.Sequential(*layers_of(plan))],
    "block_shapes": [[(min(64 * 2**i, 512), 80 // 2**i, 80 // 2**i) for i in range(5)]],
    "block_fields": [[5 * 2 ** (i + 1) - 4 for i in range(5)]],
    "compare": [compare_by_layers],
    "repaired_block": [
        lambda i, o, n: VGGBlock(i, o, [3] * n),
        lambda i, o, n: nn.Sequential(
            *(nn.Sequential(nn.Conv2d(o if k else i, o, 3, 1, 1), nn.ReLU(True)) for k in range(n)),
            nn.MaxPool2d(2, 2),
        ),
    ],
    "averaged": [Averaged, dense_first],
    "saved": [1024 * 128 + 128 + 128 * 10 + 10 - (64 * 10 + 10)],
    "replaced": [last_by_setattr, sliced],
}

WRONG = {
    "features": {
        "raised": lambda plan: layers_of([*plan, "X"]),
        "padding=1": lambda plan: nn.Sequential(
            *(
                m if not isinstance(m, nn.Conv2d) else nn.Conv2d(m.in_channels, m.out_channels, 3)
                for m in layers_of(plan)
            )
        ),
        "there is no ReLU": lambda plan: layers_of(plan, relu=False),
        "entry 1": lambda plan: layers_of(plan, norm=True),
        "entry 0": lambda plan: layers_of(plan, forget=True),
        "not an nn.Module": lambda plan: list(layers_of(plan)),
        "entry 3": doubled_relu_before_pool_only,
        "entry 2": lambda plan: layers_of(plan, pool=3),
        "changed its arguments": grown,
    },
    "block_shapes": {
        "stop doubling": [(64, 80, 80), (128, 40, 40), (256, 20, 20), (512, 10, 10), (1024, 5, 5)],
        "in front of each pooling": [(64, 160, 160), (128, 80, 80), (256, 40, 40), (512, 20, 20), (512, 10, 10)],
        "channels first": [(80, 80, 64), (40, 40, 128), (20, 20, 256), (10, 10, 512), (5, 5, 512)],
        "entries": [(64, 80, 80)],
    },
    "block_fields": {
        "jump doubles": [6, 11, 16, 21, 26],
        "VGG-16": [6, 16, 44, 100, 212],
        "adds one jump": [5, 14, 32, 68, 140],
        "is not right": [5, 10, 20, 40, 80],
    },
    "compare": {
        "biases are missing": lambda a, b, n: (
            weights(a, b, 3, False) + (n - 1) * weights(b, b, 3, False),
            weights(a, b, 2 * n + 1, False),
        ),
        "others take c_out": lambda a, b, n: (n * weights(a, b, 3), weights(a, b, 2 * n + 1)),
        "not c_out": lambda a, b, n: (n * weights(b, b, 3), weights(a, b, 2 * n + 1)),
        "not 3n": lambda a, b, n: (weights(a, b, 3) + (n - 1) * weights(b, b, 3), weights(a, b, 3 * n)),
        "first the stack": lambda a, b, n: compare_by_layers(a, b, n)[::-1],
        "must be a whole number": lambda a, b, n: tuple(map(float, compare_by_layers(a, b, n))),
        "must be a tuple": lambda a, b, n: compare_by_layers(a, b, n)[0],
    },
    "repaired_block": {
        "channels in are": lambda i, o, n: nn.Sequential(
            *(m for _ in range(n) for m in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())), nn.MaxPool2d(2)
        ),
        "one 5×5": lambda i, o, n: nn.Sequential(*list(without_relu(i, o, n))[:-1], nn.ReLU(), nn.MaxPool2d(2)),
        "no ReLU left": without_relu,
        "does not halve": lambda i, o, n: block(i, o, n, pool=nn.MaxPool2d(2, stride=1)),
        "entry 0": lambda i, o, n: block(i, o, n, norm=True),
        "entry 2": lambda i, o, n: block(i, o, n, slope=0.1),
        "entry 1": lambda i, o, n: block(i, o, n, pool=nn.Identity()),
        "not an nn.Module": lambda i, o, n: None,
    },
    "averaged": {
        "nn.Sequential": lambda m, c: (
            setattr(m, "head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, c))) or m
        ),
        "the features are new ones": untouched_features_lost,
        "the maximum of each map": lambda m, c: nn.Sequential(
            m.features, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, c)
        ),
        "two dense layers": lambda m, c: nn.Sequential(
            m.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, c)
        ),
        "nothing was replaced": lambda m, c: m,
        "entry 2": Summed,
        "not an nn.Module": lambda m, c: 650,
        "cannot be multiplied": lambda m, c: nn.Sequential(m.features, nn.Flatten(), nn.Linear(64, c)),
    },
    "saved": {
        "has some, too": 132_490,
        "how many are gone": 650,
        "is not right": 205_018,
    },
    "replaced": {
        "new parts: fc": fc,
        "cannot be multiplied": fixed_width,
        "new parts: 0, 1": behind,
        "output": head,
        "other layers were changed": all_new,
        "not an nn.Module": lambda model, classes: 3,
        "entry 0": the_layer,
        "return the model": lambda model, classes: fc(model, classes) and None,
    },
}
