"""Kinds of input (text, image, audio, features): one ``Modality`` object in one file each."""
