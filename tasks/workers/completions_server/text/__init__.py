"""Between text and tokens: the tokenizer, the text of a growing answer, its end at a stop string, and chats.

Pieces of text are final: what was once handed out is never taken back, and what might still become part of a
character or of a stop string is held back.
"""
