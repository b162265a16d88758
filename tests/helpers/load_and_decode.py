"""Run as a program: load a checkpoint in llama.cpp on the CPU and decode one token.

Prints the number of the likeliest next token. A child process, because llama.cpp may abort.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import llama_cpp


def main(path: str) -> int:
    """Load, decode, print; 0 when it worked."""
    library_dir = Path(llama_cpp.__file__).parent / "lib"
    # The name with .0 is the copy that libllama itself uses; another one has its own registry.
    ggml = ctypes.CDLL(str(library_dir / "libggml.so.0"))
    ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    ggml.ggml_backend_load_all_from_path.restype = None
    ggml.ggml_backend_load_all_from_path(os.fsencode(library_dir))
    llama_cpp.llama_backend_init()
    model_params = llama_cpp.llama_model_default_params()
    model_params.use_extra_bufts = False
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), model_params)
    if not model:
        return 3
    context_params = llama_cpp.llama_context_default_params()
    context_params.n_ctx = 512
    context_params.n_threads = context_params.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(model, context_params)
    if not context:
        return 4
    tokens = (llama_cpp.llama_token * 6)(0, 10, 20, 30, 40, 50)
    if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, 6)):
        return 5
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    logits = llama_cpp.llama_get_logits_ith(context, -1)[:n_vocab]
    print(max(range(n_vocab), key=logits.__getitem__))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
