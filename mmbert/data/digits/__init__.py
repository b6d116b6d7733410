"""The parts of the demo set talking_digits: sentences, pictures, speech, and the rows that join them."""
