PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE job (
    job_id TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,
    stand TEXT NOT NULL
) STRICT;
INSERT INTO "job" VALUES('14141414141414141414141414141414',0,'downloading','{"job_id": "14141414141414141414141414141414", "title": "Model Q4_K_M", "endpoint": "@HUB@", "repository": "maker/Model-GGUF", "commit": "c0ffee0000000000000000000000000000000000", "quant": "Q4_K_M", "root": "@BASE@/models", "folder": "@BASE@/models/maker/Model-GGUF", "files": [{"path": "Model-Q4_K_M-00001-of-00002.gguf", "target": "Model-Q4_K_M-00001-of-00002.gguf", "size_bytes": 120224, "digest": "sha256:037de85081a46f55c350dd99b7b9e44f1dbcb0fcecc0c1e5fbbe54c613d158c7"}, {"path": "Model-Q4_K_M-00002-of-00002.gguf", "target": "Model-Q4_K_M-00002-of-00002.gguf", "size_bytes": 120224, "digest": "sha256:df4e1411a12be7516e030b74858ee17e7c75cc81e91e585f98f874c1be43181f"}], "is_independent": true, "repairs": false}','{"files": [{"state": "verified", "bytes_done": 120224, "is_ours": true}, {"state": "downloading", "bytes_done": 80000, "is_ours": true}], "why": "", "failure": null, "keeps": null, "bytes_refetched": 0}');
COMMIT;
