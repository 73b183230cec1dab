-- vramscope database: tables, views and what every column means. This file is the documentation and the definition.
--
-- One database holds one run: all its processes and ranks. Times are ns of CLOCK_MONOTONIC of the recording host
-- (process.start_real_ns - process.start_ns places them in the calendar). Sizes are bytes. NULL means "not known" or
-- "not yet": a live allocation has no free_ts_ns, host memory has no device. Nothing unknown is ever stored as 0.
-- device is the CUDA ordinal in the recorded process. rank is the launcher's global rank.
-- In STORAGE terms there are two levels, never added up:
--   held  memory taken from the driver or the operating system; each byte once
--   sub   memory handed out inside a held block, by PyTorch's caching allocator or a named region

CREATE TABLE meta (              -- about this file
  key   TEXT PRIMARY KEY,        -- format_version, vramscope_version, created, complete (1 after the last ingest)
  value TEXT
) WITHOUT ROWID;

CREATE TABLE string (            -- every text once
  id   INTEGER PRIMARY KEY,
  text TEXT                      -- as the program gave it; bytes that are not UTF-8 are replaced by U+FFFD. NULL: never seen
);

CREATE TABLE process (
  id              INTEGER PRIMARY KEY,
  host            TEXT,
  pid             INTEGER,
  parent_pid      INTEGER,
  rank            INTEGER,       -- RANK, OMPI_COMM_WORLD_RANK, PMI_RANK, SLURM_PROCID; NULL: not launched by any
  local_rank      INTEGER,
  world_size      INTEGER,
  launcher        TEXT,          -- torchrun, mpirun, srun, ...
  command_line    TEXT,
  executable      TEXT,
  cwd             TEXT,
  trace_level     TEXT,          -- memory, kernels, api
  start_ns        INTEGER,       -- when recording began
  start_real_ns   INTEGER,       -- the same moment in CLOCK_REALTIME
  end_ns          INTEGER,       -- last moment known to the log
  ended           TEXT,          -- exit: in order; detached: recording stopped, program went on; killed: died without
                                 -- a word (signal, OOM killer, _exit in a signal handler); running: not yet ended
  delivered_ns    INTEGER,       -- GPU records up to here had arrived; NULL: none were asked for, or none had
  driver_version  TEXT,
  cupti_version   TEXT,
  nccl_version    TEXT,
  log_bytes       INTEGER,       -- read from the log
  host_bytes      INTEGER,       -- memory the recorder mapped in the process
  gpu_buffer_bytes INTEGER,      -- device memory taken by CUPTI for the recording; NULL: none
  overhead_ns     INTEGER        -- events x calibrated cost + CUPTI's own overhead records
);

CREATE TABLE thread (
  id         INTEGER PRIMARY KEY,
  process_id INTEGER,
  tid        INTEGER,            -- gettid()
  name       TEXT                -- last seen; PyTorch's backward threads are pt_autograd_N
);

CREATE TABLE device (
  process_id  INTEGER,
  device      INTEGER,           -- CUDA ordinal in that process
  name        TEXT,
  uuid        TEXT,              -- GPU-xxxxxxxx-...
  pci         TEXT,              -- dddd:bb:dd
  total_bytes INTEGER,
  PRIMARY KEY (process_id, device)
) WITHOUT ROWID;

CREATE TABLE setting (           -- effective settings and versions of each process
  process_id INTEGER,
  name       TEXT,
  value      TEXT,
  PRIMARY KEY (process_id, name)
) WITHOUT ROWID;

CREATE TABLE allocation (        -- one row per piece of memory, from its allocation to its free
  id              INTEGER PRIMARY KEY, -- ascending in order of allocation within a process
  process_id      INTEGER NOT NULL,
  device          INTEGER,       -- NULL: host memory
  level           TEXT NOT NULL, -- held | sub
  parent_id       INTEGER,       -- sub: the held block it lies in; NULL: that block is not known
  source          TEXT NOT NULL, -- torch cuda cuda_async managed pinned array static nccl region host. nccl: made inside an
                                 -- NCCL call or by NCCL's library, or named by ncclMemAlloc. cuda_async, level held: what
                                 -- a stream-ordered pool reserves; level sub: what it hands out
  address         INTEGER,       -- of an array: its handle. Printed with printf('%x')
  bytes           INTEGER NOT NULL,
  alloc_ts_ns     INTEGER NOT NULL, -- strictly rising in the order things happened within a process
  free_ts_ns      INTEGER,       -- NULL: live at the end of the recording
  alloc_thread_id INTEGER,
  free_thread_id  INTEGER,
  alloc_range_id  INTEGER,       -- innermost range open on the allocating thread
  free_range_id   INTEGER,
  stream          INTEGER,       -- cuda_async: the pool's handle
  imported        INTEGER NOT NULL, -- 1: another process owns the bytes; never part of held totals
  flags           INTEGER NOT NULL, -- 2 registered host memory, 4 made inside NCCL, 8 captured in a graph, 16 virtual (cuMemCreate),
                                 -- 32 inside another sub row (a region in a PyTorch block): not in the sub totals again
  library         TEXT,          -- file name of the library that asked the driver; NULL: not known
  category        TEXT,          -- parameter gradient activation ...: NULL until known
  name_id         INTEGER        -- string: region name, static variable; NULL: none
);

CREATE TABLE allocation_failure (
  process_id  INTEGER NOT NULL,
  device      INTEGER,
  source      TEXT NOT NULL,     -- as in allocation; torch: the framework's out-of-memory report
  bytes       INTEGER NOT NULL,  -- asked for
  free_bytes  INTEGER,           -- of the device, then
  total_bytes INTEGER,
  allocated_bytes INTEGER,       -- torch: the allocator's totals then
  reserved_bytes  INTEGER,
  error       INTEGER,           -- CUresult; NULL for torch
  ts_ns       INTEGER NOT NULL,
  thread_id   INTEGER,
  range_id    INTEGER
);

CREATE TABLE range (             -- what programs emitted through NVTX, and nothing else
  id         INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  thread_id  INTEGER NOT NULL,
  parent_id  INTEGER,            -- the range it is nested in
  depth      INTEGER NOT NULL,   -- 0: outermost
  domain     TEXT,               -- NULL: the default domain
  category   TEXT,
  name_id    INTEGER,            -- string
  kind       TEXT NOT NULL,      -- push (a stack per thread) | start (may end elsewhere)
  begin_ns   INTEGER NOT NULL,
  end_ns     INTEGER,            -- NULL: open at the end of the recording
  color      INTEGER             -- ARGB
);

CREATE TABLE mark (
  process_id INTEGER NOT NULL,
  thread_id  INTEGER NOT NULL,
  range_id   INTEGER,
  domain     TEXT,
  category   TEXT,
  name_id    INTEGER,
  ts_ns      INTEGER NOT NULL
);

CREATE TABLE range_memory_data ( -- per finished push range and device with events in it: see view range_memory
  range_id       INTEGER NOT NULL,
  device         INTEGER NOT NULL, -- -1: host
  level          TEXT NOT NULL,  -- held | sub
  peak_bytes     INTEGER NOT NULL, -- highest live bytes of the process on the device while it was open
  net_bytes      INTEGER NOT NULL, -- live bytes at its end minus at its begin
  allocations    INTEGER NOT NULL  -- made on its thread while it was innermost
);

CREATE TABLE kernel (
  id             INTEGER PRIMARY KEY,
  process_id     INTEGER NOT NULL,
  device         INTEGER,
  stream         INTEGER,        -- CUPTI's stream id
  context        INTEGER,
  name_id        INTEGER,        -- string: demangled name
  begin_ns       INTEGER,        -- on the GPU; NULL: no usable time (counted as untimed)
  end_ns         INTEGER,
  launch_ns      INTEGER,        -- when the host called; NULL: not seen
  thread_id      INTEGER,        -- that launched it
  range_id       INTEGER,        -- innermost range open on that thread at the launch
  correlation    INTEGER,
  graph          INTEGER,        -- NULL: not part of a graph
  graph_node     INTEGER,
  grid_x INTEGER, grid_y INTEGER, grid_z INTEGER,
  block_x INTEGER, block_y INTEGER, block_z INTEGER,
  registers      INTEGER,
  static_shared  INTEGER,
  dynamic_shared INTEGER
);

CREATE TABLE transfer (          -- copies and sets on the GPU
  id          INTEGER PRIMARY KEY,
  process_id  INTEGER NOT NULL,
  device      INTEGER,
  stream      INTEGER,
  op          TEXT NOT NULL,     -- copy peer set
  direction   TEXT,              -- HtoD DtoH DtoD HtoH PtoP ...; NULL for sets
  bytes       INTEGER NOT NULL,
  begin_ns    INTEGER,
  end_ns      INTEGER,
  launch_ns   INTEGER,
  thread_id   INTEGER,
  range_id    INTEGER,
  correlation INTEGER,
  src_device  INTEGER,
  dst_device  INTEGER
);

CREATE TABLE api_call (          -- --trace api
  process_id  INTEGER NOT NULL,
  thread_id   INTEGER,
  name_id     INTEGER,
  begin_ns    INTEGER,
  end_ns      INTEGER,
  result      INTEGER,
  correlation INTEGER
);

CREATE TABLE communicator (
  id         INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  handle     INTEGER,
  hash       INTEGER,            -- equal on all ranks of one communicator; NULL: not known
  parent_id  INTEGER,
  nranks     INTEGER,            -- NULL: not known, as for rank
  rank       INTEGER,
  device     INTEGER,
  name       TEXT,
  created_ns INTEGER,
  ended_ns   INTEGER,
  ended      TEXT                -- destroy abort finalize; NULL: alive
);

CREATE TABLE collective (        -- one row per NCCL call, point-to-point included
  id              INTEGER PRIMARY KEY,
  process_id      INTEGER NOT NULL,
  communicator_id INTEGER,
  sequence        INTEGER,       -- n-th collective (send and recv not counted) on that communicator in that process, from 0
  op              TEXT NOT NULL, -- all_reduce all_gather reduce_scatter broadcast reduce all_to_all gather scatter send recv
  count           INTEGER,       -- as passed; NULL: not known (origin nvtx)
  dtype           TEXT,
  redop           TEXT,
  bytes           INTEGER,       -- count x type size, as passed
  peer            INTEGER,       -- root or peer
  send_address    INTEGER,
  recv_address    INTEGER,
  stream          INTEGER,       -- cudaStream_t handle
  group_id        INTEGER,       -- calls of one ncclGroupStart..End; NULL: alone
  begin_ns        INTEGER NOT NULL, -- host call; collectives run on the GPU later
  end_ns          INTEGER,       -- NULL: had not returned at the end of the recording
  result          INTEGER,       -- ncclResult_t; NULL: not returned, or not known (origin nvtx)
  thread_id       INTEGER,
  range_id        INTEGER,
  origin          TEXT NOT NULL  -- call: our wrapper; nvtx: NCCL's own payload
);

CREATE TABLE snapshot (          -- totals at named moments: NVTX marks, out-of-memory reports, the end of the process
  process_id          INTEGER NOT NULL,
  device              INTEGER,
  ts_ns               INTEGER NOT NULL,
  name                TEXT,
  allocated_bytes     INTEGER,   -- sub level, live
  reserved_bytes      INTEGER,   -- held level, live
  max_allocated_bytes INTEGER    -- highest so far
);

CREATE TABLE device_sample (     -- the driver's view of a whole device, every process included
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  ts_ns      INTEGER NOT NULL,
  used_bytes INTEGER,
  free_bytes INTEGER,
  process_used_bytes INTEGER     -- of this process, as the driver accounts it; NULL: not visible
);

CREATE TABLE pool_sample (       -- stream-ordered and graph pools
  process_id     INTEGER NOT NULL,
  device         INTEGER,
  pool           INTEGER,        -- handle; NULL: the device's graph pool
  ts_ns          INTEGER NOT NULL,
  reserved_bytes INTEGER,        -- taken from the driver
  used_bytes     INTEGER,
  reserved_high_bytes INTEGER
);

CREATE TABLE norm_result (       -- `vramscope bench norms`: one row per case and algorithm, as the workload reported it
  id              INTEGER PRIMARY KEY, -- ascending in order of measurement
  process_id      INTEGER,       -- the recorded process that ran it; NULL: not known
  algo            TEXT NOT NULL, -- as asked for; what auto ran is in choice
  device          TEXT NOT NULL, -- cpu | cuda
  dtype           TEXT NOT NULL, -- fp32 tf32 bf16 fp16
  grouping        TEXT,          -- one: a single layer; grouped: a list of layers in one call; each: the list layer by layer
  layers          INTEGER,       -- in the list
  B INTEGER, T INTEGER, d INTEGER, p INTEGER, -- samples, tokens, inputs and outputs of the layer
  status          TEXT NOT NULL, -- ok beyond_bound nonfinite skipped unchecked (there is no float64 norm to compare with)
  reason          TEXT,          -- of skipped, and of what else is not ok
  median_ms       REAL,          -- on the device, without the cost of launching
  call_ms         REAL,          -- with it
  min_ms          REAL,
  samples         INTEGER,       -- measurements behind the median
  floor_ms        REAL,          -- the least time this work can take here
  tflops          REAL,          -- needed operations by median_ms, 10^12 per second
  floor_fraction  REAL,          -- floor_ms / median_ms
  rel_err         REAL,          -- largest relative error against float64; NULL: not compared
  bound           REAL,          -- that it must not exceed
  kappa           REAL,          -- largest condition of a sample: sum |K_A * K_G| / n
  recomputed      INTEGER,       -- samples computed again because of it
  workspace_bytes INTEGER,       -- the algorithm asked for
  temp_bytes      INTEGER,       -- cuda: highest live bytes in the range minus those at its begin, from table allocation;
                                 -- cpu: the same of resident memory, by the workload. NULL: not measured, or lost
  choice          TEXT,          -- of auto: the algorithm it ran
  range_name      TEXT,          -- NVTX range around the measured call
  preset          TEXT           -- name of the list of layers
);

CREATE TABLE phase (             -- iterations and their parts, found or named
  id         INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  name       TEXT NOT NULL,
  iteration  INTEGER,
  begin_ns   INTEGER NOT NULL,
  end_ns     INTEGER,
  origin     TEXT NOT NULL       -- nvtx | inferred
);

CREATE TABLE loss (              -- everything that is not in this database as it should be
  process_id INTEGER NOT NULL,
  source     TEXT NOT NULL,      -- process torch cuda nvtx nccl gpu sample python
  reason     TEXT NOT NULL,      -- pool_empty reentered ... see VS_LOSSES in record.h
  count      INTEGER NOT NULL,
  PRIMARY KEY (process_id, source, reason)
) WITHOUT ROWID;

CREATE TABLE balance (           -- appended = stored + lost_in_log, checked at every ingest
  process_id   INTEGER NOT NULL,
  source       TEXT NOT NULL,
  appended     INTEGER,          -- by the program, as its own counters say; NULL: the counters are gone
  stored       INTEGER NOT NULL, -- read and applied
  lost_in_log  INTEGER NOT NULL, -- torn + damaged
  PRIMARY KEY (process_id, source)
) WITHOUT ROWID;

CREATE TABLE gap (               -- a source was silent: another tool held CUPTI
  process_id INTEGER NOT NULL,
  source     TEXT NOT NULL,
  begin_ns   INTEGER NOT NULL,
  end_ns     INTEGER,            -- NULL: it never came back
  holder     TEXT
);

CREATE TABLE overhead (          -- CUPTI's own overhead records, summed
  process_id INTEGER NOT NULL,
  what       TEXT NOT NULL,
  count      INTEGER NOT NULL,
  total_ns   INTEGER NOT NULL,
  PRIMARY KEY (process_id, what)
) WITHOUT ROWID;

-- Computed while ingesting.

CREATE TABLE peak_data (         -- highest live bytes per process, device, level and source
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,   -- -1: host
  series     TEXT NOT NULL,      -- held | sub | the name of a source | driver_used | torch_allocated | torch_reserved |
                                 -- cuda_async_reserved (what pools reserve; cuda_async is what they hand out)
  peak_bytes INTEGER NOT NULL,
  peak_ts_ns INTEGER NOT NULL,
  live_bytes INTEGER NOT NULL,   -- now (at the end)
  allocations INTEGER NOT NULL,
  frees      INTEGER NOT NULL,
  range_id   INTEGER,            -- innermost range of the allocating thread at the peak
  PRIMARY KEY (process_id, device, series)
) WITHOUT ROWID;

CREATE TABLE at_peak (           -- what was live at the peak of a level, grouped
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,   -- -1: host
  level      TEXT NOT NULL,      -- held | sub: the level whose peak this is, and whose allocations these are
  source     TEXT NOT NULL,
  category   TEXT,
  range_id   INTEGER,            -- a representative: all ranges of the same name are one row
  range_name TEXT,               -- NULL: allocated outside any range
  bytes      INTEGER NOT NULL,
  count      INTEGER NOT NULL
);

CREATE TABLE timeline (          -- live bytes over time in buckets of one width per series; min and max keep every peak
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,   -- -1: host
  series     TEXT NOT NULL,      -- as in peak_data
  ts_ns      INTEGER NOT NULL,   -- begin of the bucket
  width_ns   INTEGER NOT NULL,
  min_bytes  INTEGER NOT NULL,
  max_bytes  INTEGER NOT NULL,
  last_bytes INTEGER NOT NULL,
  PRIMARY KEY (process_id, device, series, ts_ns)
) WITHOUT ROWID;

CREATE TABLE kernel_total (      -- sums over table kernel
  process_id INTEGER NOT NULL,
  device     INTEGER,
  name_id    INTEGER,
  count      INTEGER NOT NULL,
  total_ns   INTEGER NOT NULL,
  min_ns     INTEGER,
  max_ns     INTEGER,
  untimed    INTEGER NOT NULL
);

CREATE TABLE range_total (       -- sums over ranges of one name, and the GPU work launched in them
  process_id INTEGER NOT NULL,
  domain     TEXT,
  name_id    INTEGER,
  count      INTEGER NOT NULL,
  host_ns    INTEGER NOT NULL,   -- begin to end on the host
  gpu_ns     INTEGER NOT NULL,   -- kernels and transfers launched while it was innermost
  gpu_span_ns INTEGER            -- GPU-projected: first begin to last end of work launched in it or nested, summed over its instances
);

CREATE TABLE ingest_state (      -- where the next ingest goes on
  process_id INTEGER NOT NULL,
  key        TEXT NOT NULL,
  value      BLOB,
  PRIMARY KEY (process_id, key)
) WITHOUT ROWID;

-- Views: what people ask.

CREATE VIEW peak AS              -- one row per process, device and source: its peak, and the peak of what it was taken from
  SELECT p.id AS process_id, p.rank AS rank, NULLIF(d.device, -1) AS device, d.series AS source,
         d.peak_bytes AS peak_bytes, d.peak_ts_ns AS peak_ts_ns,
         (SELECT h.peak_bytes FROM peak_data h
           WHERE h.process_id = d.process_id AND h.device = d.device
             AND h.series = CASE d.series WHEN 'torch' THEN 'torch_reserved' WHEN 'cuda_async' THEN 'cuda_async_reserved'
                            ELSE 'held' END) AS reserved_peak_bytes,
         d.live_bytes AS live_bytes, d.allocations AS allocations, d.frees AS frees,
         s.text AS range_name
    FROM peak_data d JOIN process p ON p.id = d.process_id
    LEFT JOIN range r ON r.id = d.range_id LEFT JOIN string s ON s.id = r.name_id
   WHERE d.series NOT IN ('torch_allocated', 'torch_reserved', 'cuda_async_reserved');

CREATE VIEW memory_timeline AS
  SELECT t.process_id, p.rank, NULLIF(t.device, -1) AS device, t.series, t.ts_ns, t.width_ns,
         t.min_bytes, t.max_bytes, t.last_bytes
    FROM timeline t JOIN process p ON p.id = t.process_id;

CREATE VIEW live_at_end AS       -- never freed
  SELECT a.*, s.text AS range_name, n.text AS name
    FROM allocation a LEFT JOIN range r ON r.id = a.alloc_range_id LEFT JOIN string s ON s.id = r.name_id
    LEFT JOIN string n ON n.id = a.name_id
   WHERE a.free_ts_ns IS NULL;

CREATE VIEW range_memory AS
  SELECT r.id AS range_id, r.process_id, p.rank, s.text AS name, r.domain, r.begin_ns, r.end_ns,
         NULLIF(m.device, -1) AS device, m.level, m.peak_bytes, m.net_bytes, m.allocations
    FROM range_memory_data m JOIN range r ON r.id = m.range_id JOIN process p ON p.id = r.process_id
    LEFT JOIN string s ON s.id = r.name_id;

CREATE VIEW kernel_summary AS
  SELECT k.process_id, p.rank, k.device, s.text AS name, SUM(k.count) AS count, SUM(k.total_ns) AS total_ns,
         SUM(k.total_ns) / MAX(SUM(k.count - k.untimed), 1) AS mean_ns, MIN(k.min_ns) AS min_ns, MAX(k.max_ns) AS max_ns,
         SUM(k.untimed) AS untimed
    FROM kernel_total k JOIN process p ON p.id = k.process_id LEFT JOIN string s ON s.id = k.name_id
   GROUP BY k.process_id, k.device, COALESCE(s.text, k.name_id); -- a text seen first without its name has two numbers

CREATE VIEW range_summary AS
  SELECT t.process_id, p.rank, t.domain, s.text AS name, SUM(t.count) AS count, SUM(t.host_ns) AS host_ns,
         SUM(t.gpu_ns) AS gpu_ns, SUM(t.gpu_span_ns) AS gpu_span_ns
    FROM range_total t JOIN process p ON p.id = t.process_id LEFT JOIN string s ON s.id = t.name_id
   GROUP BY t.process_id, t.domain, COALESCE(s.text, t.name_id);

CREATE VIEW collective_summary AS
  SELECT c.process_id, p.rank, c.op, c.dtype, COUNT(*) AS calls, SUM(c.bytes) AS bytes,
         SUM(c.end_ns - c.begin_ns) AS host_ns, SUM(c.result IS NOT NULL AND c.result NOT IN (0, 7)) AS failed,
         SUM(c.end_ns IS NULL) AS unfinished
    FROM collective c JOIN process p ON p.id = c.process_id GROUP BY c.process_id, c.op, c.dtype;
