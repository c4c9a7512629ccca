"""The live view of `holdfast watch`, built on Textual; nothing else imports it."""
