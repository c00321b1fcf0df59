"""What is asked: text, picture, sound or film, decoded, put in words and encoded."""
