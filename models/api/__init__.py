"""The server for other programs on this machine, in the manner of OpenAI's and DeepSeek's."""
