"""What the chapters share: claims, scale, figures, sliders, data sets. The names load lazily from ``ntk_helpers``."""
