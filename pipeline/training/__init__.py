"""One training loop for every network: localizers, segmentors, the small CLIP, IRNet.

A network is an `nn.Module` whose `forward(batch)` returns a tensor and its losses by name. Its
batches come from a `BatchSource` (`batches.py`), `loop.fit` trains it, `weights.load_weights` reads
it back. Import from the modules: whoever only reads weights does not wait for the training library.
"""
