BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE attempts (
	sweep TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	attempt INTEGER NOT NULL, 
	is_current BOOLEAN NOT NULL, 
	state TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	job_id TEXT NOT NULL, 
	pool TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	rank DOUBLE NOT NULL, 
	phase TEXT, 
	ending TEXT, 
	adopt_from INTEGER, 
	lost INTEGER NOT NULL, 
	queued_at DOUBLE NOT NULL, 
	admitted_at DOUBLE, 
	submitted_at DOUBLE, 
	running_at DOUBLE, 
	ended_at DOUBLE, 
	val_bpb DOUBLE, 
	total_bytes BIGINT, 
	reason TEXT, 
	warning TEXT, 
	progress TEXT NOT NULL, 
	result TEXT, 
	gates TEXT, preempted INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_attempts PRIMARY KEY (sweep, seed, attempt), 
	CONSTRAINT fk_attempts_sweeps FOREIGN KEY(sweep) REFERENCES sweeps (sweep), 
	CONSTRAINT uq_attempts_job_id UNIQUE (job_id)
);
INSERT INTO "attempts" VALUES('old-1',1,1,1,'SUCCEEDED',5,'old-1-s1-a1','cpu',0,-6200.0,'train',NULL,NULL,0,1000.0,1010.0,1010.0,1010.0,2000.0,1.25,15900000,NULL,NULL,'{"step":3,"loss":2.5}','{"val_bpb":{"sliding":1.25},"total_bytes":15900000,"state":"SUCCEEDED"}','[{"name":"cap","verdict":"pass"}]',0);
INSERT INTO "attempts" VALUES('old-1',2,1,0,'LOST',5,'old-1-s2-a1','cpu',1,-6200.0,NULL,NULL,NULL,0,1000.0,1010.0,1010.0,1010.0,1010.0,NULL,NULL,NULL,'gone','{}',NULL,NULL,0);
INSERT INTO "attempts" VALUES('old-1',3,1,1,'QUEUED',1,'old-1-s3-a1','cpu',2,-6200.0,NULL,NULL,NULL,0,1000.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL,NULL,0);
INSERT INTO "attempts" VALUES('old-1',2,2,1,'RUNNING',4,'old-1-s2-a2','cpu',1,-5000.0,NULL,NULL,1,1,2200.0,1010.0,1010.0,1010.0,NULL,NULL,NULL,NULL,NULL,'{}',NULL,NULL,0);
CREATE TABLE events (
	sweep TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	kind TEXT NOT NULL, 
	seed BIGINT, 
	attempt INTEGER, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (sweep, number), 
	CONSTRAINT fk_events_sweeps FOREIGN KEY(sweep) REFERENCES sweeps (sweep)
);
INSERT INTO "events" VALUES('old-1',1,1000.0,'created',NULL,NULL,'{"name":"An old sweep","profile":"tiny","seeds":[1,2,3],"priority":2}');
INSERT INTO "events" VALUES('old-1',2,1001.0,'prepared',NULL,NULL,'{"fingerprint":"f1","note":""}');
INSERT INTO "events" VALUES('old-1',3,1010.0,'state',1,1,'{"from":"QUEUED","state":"SUBMITTING","job_id":"old-1-s1-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',4,1010.0,'state',1,1,'{"from":"SUBMITTING","state":"SUBMITTED","job_id":"old-1-s1-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',5,1010.0,'state',1,1,'{"from":"SUBMITTED","state":"RUNNING","job_id":"old-1-s1-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',6,1500.0,'progress',1,1,'{"phase":"train","progress":{"step":3,"loss":2.5}}');
INSERT INTO "events" VALUES('old-1',7,2000.0,'state',1,1,'{"from":"RUNNING","state":"SUCCEEDED","job_id":"old-1-s1-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',8,1010.0,'state',2,1,'{"from":"QUEUED","state":"SUBMITTING","job_id":"old-1-s2-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',9,1010.0,'state',2,1,'{"from":"SUBMITTING","state":"SUBMITTED","job_id":"old-1-s2-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',10,1010.0,'state',2,1,'{"from":"SUBMITTED","state":"RUNNING","job_id":"old-1-s2-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',11,1010.0,'state',2,1,'{"from":"RUNNING","state":"LOST","job_id":"old-1-s2-a1","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',12,2100.0,'warning',2,1,'{"warning":"gone"}');
INSERT INTO "events" VALUES('old-1',13,2200.0,'retry',2,2,'{"state":"QUEUED","job_id":"old-1-s2-a2","automatic":true,"adopt_from":1}');
INSERT INTO "events" VALUES('old-1',14,1010.0,'state',2,2,'{"from":"QUEUED","state":"SUBMITTING","job_id":"old-1-s2-a2","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',15,1010.0,'state',2,2,'{"from":"SUBMITTING","state":"SUBMITTED","job_id":"old-1-s2-a2","reason":null,"warning":null}');
INSERT INTO "events" VALUES('old-1',16,1010.0,'state',2,2,'{"from":"SUBMITTED","state":"RUNNING","job_id":"old-1-s2-a2","reason":null,"warning":null}');
CREATE TABLE idempotency (
	owner TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	body_sha256 TEXT NOT NULL, 
	sweep TEXT NOT NULL, 
	kept_at DOUBLE NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (owner, "key"), 
	CONSTRAINT fk_idempotency_sweeps FOREIGN KEY(sweep) REFERENCES sweeps (sweep)
);
INSERT INTO "idempotency" VALUES('ann','k1','0000000000000000000000000000000000000000000000000000000000000000','old-1',1000.0);
CREATE TABLE keys (
	key_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	revoked_at DOUBLE, 
	CONSTRAINT pk_keys PRIMARY KEY (key_id)
);
INSERT INTO "keys" VALUES('546a4548dd526bfc','ann','submit','f143f9ea3fd68ed712c1b3f3e9c921fe4751243fc337d4e56940052c89711127',1.0,NULL);
CREATE TABLE sweeps (
	sweep TEXT NOT NULL, 
	name TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	priority INTEGER NOT NULL, 
	baseline TEXT, 
	pool TEXT NOT NULL, 
	rank DOUBLE NOT NULL, 
	created_at DOUBLE NOT NULL, 
	created_by TEXT, 
	request_id TEXT NOT NULL, 
	prepared_at DOUBLE, 
	fingerprint TEXT, 
	dataset_root TEXT, 
	note TEXT NOT NULL, 
	cancelled_at DOUBLE, 
	reported_at DOUBLE, 
	record_path TEXT, 
	warning TEXT, 
	event_count INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	seeds TEXT NOT NULL, 
	overrides TEXT NOT NULL, 
	recipe TEXT NOT NULL, 
	CONSTRAINT pk_sweeps PRIMARY KEY (sweep)
);
INSERT INTO "sweeps" VALUES('old-1','An old sweep','tiny',2,NULL,'cpu',-5000.0,1000.0,NULL,'',1001.0,'f1','/data/d','',NULL,NULL,NULL,NULL,16,3,'[1,2,3]','{"train.steps":50}','{"train":{"steps":50}}');
CREATE INDEX ix_sweeps_created_at ON sweeps (created_at, sweep);
CREATE INDEX ix_sweeps_name ON sweeps (name, sweep);
CREATE INDEX ix_sweeps_unprepared ON sweeps (prepared_at, cancelled_at, rank, sweep);
CREATE INDEX ix_sweeps_unreported ON sweeps (reported_at, prepared_at, sweep);
CREATE UNIQUE INDEX uq_attempts_current ON attempts (sweep, seed) WHERE is_current;
CREATE INDEX ix_attempts_sweep_state ON attempts (sweep, is_current, state);
CREATE INDEX ix_attempts_queue ON attempts (state, is_current, pool, rank, sweep, position, queued_at);
CREATE INDEX ix_idempotency_kept_at ON idempotency (kept_at);
COMMIT;
