"""Decoders: one message of one wire format becomes readings and rejections."""
