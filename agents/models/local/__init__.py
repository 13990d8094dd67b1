"""Qwen3 in this process: the network, its cache, its sampler."""
