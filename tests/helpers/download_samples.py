"""Downloads in every state, as the window is told of them; no bytes are fetched."""

from __future__ import annotations

from pathlib import Path

from models.transfer.job import FileState, FileView, JobFailure, JobSpec, JobState, JobView
from models.transfer.remote import FileSpec

GB = 1_000_000_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def job_spec(
    number: int = 1,
    *,
    title: str = "DeepSeek-R1-Distill-Qwen-7B Q4_K_M",
    shards: int = 1,
    shard_bytes: int = 4_680_000_000,
    endpoint: str = "https://huggingface.co",
    is_independent: bool = True,
    root: Path = Path("/models"),
) -> JobSpec:
    """Return a spec with ``shards`` files of the same size."""
    stem = title.replace(" ", "-")
    names = (
        [f"{stem}.gguf"]
        if shards == 1
        else [f"{stem}-{index + 1:05d}-of-{shards:05d}.gguf" for index in range(shards)]
    )
    files = tuple(FileSpec(name, name, shard_bytes, "sha256:" + "ab" * 32) for name in names)
    return JobSpec(
        job_id=f"{number:032x}",
        title=title,
        endpoint=endpoint,
        repository="unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF",
        commit=COMMIT,
        quant="Q4_K_M",
        root=root,
        folder=root / "unsloth" / "DeepSeek-R1-Distill-Qwen-7B-GGUF",
        files=files,
        is_independent=is_independent,
    )


def job_view(
    spec: JobSpec,
    state: JobState,
    *,
    position: int = 0,
    share: float = 0.0,
    rate_bytes_s: float = 0.0,
    eta_s: float | None = None,
    why: str = "",
    waits_until_s: float | None = None,
    failure: JobFailure | None = None,
    bytes_refetched: int = 0,
) -> JobView:
    """Return a view with ``share`` of the bytes there, filled from the first file on."""
    left = round(spec.size_bytes * share)
    done_bytes = left
    files = []
    for file in spec.files:
        done = min(left, file.size_bytes)
        left -= done
        whole = done == file.size_bytes
        begun = FileState.DOWNLOADING if done else FileState.WAITING
        files.append(
            FileView(file.target, FileState.VERIFIED if whole else begun, done, file.size_bytes)
        )
    return JobView(
        spec=spec,
        state=state,
        position=position,
        bytes_done=done_bytes,
        rate_bytes_s=rate_bytes_s,
        eta_s=eta_s,
        bytes_refetched=bytes_refetched,
        waits_until_s=waits_until_s,
        why=why,
        failure=failure,
        files=tuple(files),
    )


def every_state(now_s: float) -> tuple[JobView, ...]:
    """Return one download in each state a person can meet; ``now_s`` as of ``time.time``."""
    state = JobState
    views = [
        job_view(
            job_spec(1, title="DeepSeek-V3-0324 UD-Q2_K_XL", shards=5, shard_bytes=49 * GB),
            state.DOWNLOADING,
            share=0.43,
            rate_bytes_s=41_300_000,
            eta_s=3_380.0,
            bytes_refetched=67_108_864,
        ),
        job_view(
            job_spec(2),
            state.WAITING,
            share=0.2,
            why="The network cannot be reached.",
            waits_until_s=now_s + 12.4,
        ),
        job_view(job_spec(3, title="DeepSeek-Coder-V2-Lite-Instruct Q6_K"), state.QUEUED),
        job_view(job_spec(4, title="DeepSeek-R1-0528-Qwen3-8B Q8_0"), state.PAUSED, share=0.71),
        job_view(job_spec(5, title="DeepSeek-V2.5 Q4_K_M", shards=3), state.VERIFYING, share=1.0),
        job_view(
            job_spec(6, title="DeepSeek-Math-7B Q8_0"),
            state.REPAIRING,
            share=0.96,
            rate_bytes_s=8_000_000,
        ),
        job_view(
            job_spec(7, title="DeepSeek-V4-Pro MXFP4_MOE", shards=9, shard_bytes=48 * GB),
            state.NO_SPACE,
            share=0.05,
            failure=JobFailure(
                "disk_full",
                "There is not enough room: 187 GB are missing on /models.",
                "Delete or move something, or choose another download folder.",
            ),
        ),
        job_view(
            job_spec(8, title="DeepSeek-R1 Q1_S"),
            state.NEEDS_TOKEN,
            failure=JobFailure(
                "login_needed",
                "unsloth/DeepSeek-R1-GGUF is for known users only.",
                "Put in a token of huggingface.co in the settings.",
            ),
        ),
        job_view(
            job_spec(9, title="DeepSeek-Prover-V2-7B Q5_K_M"),
            state.NEEDS_LICENCE,
            failure=JobFailure(
                "licence_not_accepted",
                "Its publisher wants its terms accepted first.",
                "Open its page, accept them, then try again.",
            ),
        ),
        job_view(
            job_spec(10, title="DeepSeek-LLM-7B-Chat Q4_0"),
            state.FAILED,
            share=0.99,
            failure=JobFailure(
                "corrupt_download",
                "What the server sends does not match its own checksum, twice now.",
                "Try another repository, or try again later.",
                "sha256 expected ab.., got cd..",
            ),
        ),
        job_view(job_spec(11, title="DeepSeek-OCR BF16"), state.READY, share=1.0),
        job_view(
            job_spec(
                12,
                title="DeepSeek-VL2-Tiny Q8_0",
                endpoint="https://hub.example.org",
                is_independent=False,
            ),
            state.READY,
            share=1.0,
        ),
        job_view(
            job_spec(13, title="DeepSeek-R1-Distill-" + "very-long-name-" * 9 + "Q8_0"),
            state.CANCELLED,
            share=0.3,
        ),
    ]
    return tuple(
        JobView(**{**view.__dict__, "position": index}) for index, view in enumerate(views)
    )
