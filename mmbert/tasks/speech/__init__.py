"""What speech recognition is made of: the form of transcripts, searches, error rates, word times, rescoring."""
