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
  overhead_ns     INTEGER,       -- events x calibrated cost + CUPTI's own overhead records
  exit_status     INTEGER,       -- as a parent is told: 0..255, 128 + n for signal n; NULL: not known (of a killed process only
                                 -- `vramscope run` knows it, of the program it started)
  last_event_ns   INTEGER,       -- last thing the program did that is recorded; samples do not count
  alive_ns        INTEGER,       -- last sign of life: later than end_ns when it did nothing any more
  oom_kills       INTEGER        -- by the kernel in the memory cgroup of `vramscope run` while that ran; NULL: not known
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
  category        TEXT,          -- of level sub: parameter gradient optimizer_state activation comm_buffer workspace input
                                 -- temporary unknown unsharded_parameter unsharded_gradient; NULL: not looked for
  name_id         INTEGER,       -- string: region name, static variable; NULL: none
  stack_id        INTEGER        -- --python-lines: stack, its innermost frame's row. Made by autograd on a thread without Python
                                 -- frames: that of frame 'backward'. NULL: another such thread, or not recorded
);

CREATE TABLE frame (             -- --python-lines: a place in Python code that allocated, or called what did
  id         INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  file       TEXT,               -- co_filename, as the program gave it
  function   TEXT,               -- co_qualname (3.10: co_name)
  line       INTEGER,            -- NULL: the instruction has none, or it is not known
  library    INTEGER NOT NULL    -- 1: not the program's own code: the standard library, packages, torch, what they generate
);

CREATE TABLE stack (             -- Python call stacks as a tree: a row is a frame and who called it
  id            INTEGER PRIMARY KEY,
  process_id    INTEGER NOT NULL,
  parent_id     INTEGER,         -- stack: the caller; NULL: outermost
  frame_id      INTEGER,         -- frame; NULL (outermost only): more callers were there than the recorder follows
  line_frame_id INTEGER          -- frame: the innermost one from here outwards that is not library code; NULL: none is
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
  range_id    INTEGER,
  library     TEXT,              -- file name of the library that asked the driver; NULL: not known
  sub_allocations  INTEGER,      -- of that level on that device before it, as peak_data counts them: those after are the rest
  held_allocations INTEGER
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

CREATE TABLE host_sample (       -- host memory of a process and of what bounds it, as the kernel says
  process_id INTEGER NOT NULL,
  ts_ns      INTEGER NOT NULL,
  rss_bytes  INTEGER,            -- resident memory of the process
  cgroup_used_bytes  INTEGER,    -- of the memory cgroup (container, job) with the least limit that it is in
  cgroup_limit_bytes INTEGER,    -- NULL: none, or not known
  cgroup_oom_kills   INTEGER,    -- processes the kernel has killed in it for lack of memory, ever
  cgroup_file_bytes  INTEGER,    -- file cache in it, given up before anything is killed; NULL: not asked, it was not nearly full
  host_available_bytes INTEGER,
  host_total_bytes     INTEGER
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

CREATE TABLE experiment (        -- `vramscope bench train`, `vramscope suite`: one row per experiment
  id         INTEGER PRIMARY KEY, -- ascending in the order they ran
  process_id INTEGER,            -- the recorded process that ran it; NULL: not known
  name       TEXT,
  result     TEXT NOT NULL       -- JSON: what the workload wrote, its memory completed from this recording
);

CREATE TABLE phase (             -- iterations and their parts, found or named
  id         INTEGER PRIMARY KEY,
  process_id INTEGER NOT NULL,
  name       TEXT NOT NULL,      -- init forward backward optimizer
  iteration  INTEGER,            -- from 0: a pass ending in an optimizer step, as far as memory shows one; NULL: init
  begin_ns   INTEGER NOT NULL,
  end_ns     INTEGER,
  origin     TEXT NOT NULL       -- nvtx: a range of the program said so | inferred
);

CREATE TABLE phase_memory (      -- what the live bytes of level sub were in a phase; its categories add up to them
  phase_id    INTEGER NOT NULL,
  process_id  INTEGER NOT NULL,
  device      INTEGER NOT NULL,  -- -1: host
  category    TEXT NOT NULL,
  peak_ts_ns  INTEGER NOT NULL,  -- when the sum over all categories was highest
  peak_bytes  INTEGER NOT NULL,  -- then
  end_bytes   INTEGER NOT NULL,  -- at the end of the phase
  PRIMARY KEY (phase_id, device, category)
) WITHOUT ROWID;

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

CREATE TABLE at_failure (        -- what was live when an allocation failed, grouped as at_peak; per device the last failure
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,   -- -1: host
  ts_ns      INTEGER NOT NULL,   -- of the failure
  level      TEXT NOT NULL,
  source     TEXT NOT NULL,
  category   TEXT,
  range_id   INTEGER,
  range_name TEXT,
  bytes      INTEGER NOT NULL,
  count      INTEGER NOT NULL
);

CREATE TABLE timeline_category ( -- level sub over time by category: what it was at the highest moment of each bucket
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,   -- -1: host
  ts_ns      INTEGER NOT NULL,   -- begin of the bucket
  width_ns   INTEGER NOT NULL,
  at_ns      INTEGER NOT NULL,   -- that moment: the categories add up to the live bytes then
  category   TEXT NOT NULL,
  bytes      INTEGER NOT NULL,
  PRIMARY KEY (process_id, device, ts_ns, category)
) WITHOUT ROWID;

CREATE TABLE account_data (      -- whose the bytes of a device were, at moments the driver was asked how much is used
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  ts_ns      INTEGER NOT NULL,
  owner      TEXT NOT NULL,      -- framework_live: blocks handed out by PyTorch's allocator; framework_cached: what it holds
                                 -- beyond them; nccl; library:NAME: taken from the driver by that library (cublas, cudnn_graph,
                                 -- ...); stream_ordered_pools, graph_pools: what they reserve; other_cuda: the program's own;
                                 -- managed: NULL, it moves by itself; context: contexts and modules, as measured around the
                                 -- calls that make and load them; profiler: CUPTI's buffers; other_processes; driver_used: all
                                 -- of the above and the remainder, which is driver_used minus all that is known and is
                                 -- nobody's. An owner without a row has nothing
  bytes      INTEGER,            -- NULL: cannot be seen here
  PRIMARY KEY (process_id, device, ts_ns, owner)
) WITHOUT ROWID;

CREATE TABLE account_check (     -- two sources tell the same and differ: the largest difference. No row: they never did
  process_id   INTEGER NOT NULL,
  device       INTEGER NOT NULL,
  ts_ns        INTEGER NOT NULL,
  what         TEXT NOT NULL,    -- framework_live, framework_held: blocks and segments against its allocator's totals
  ours_bytes   INTEGER NOT NULL,
  theirs_bytes INTEGER NOT NULL
);

CREATE TABLE context_growth (    -- what the driver took for itself, call by call: owner context of the account is made of these
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  ts_ns      INTEGER NOT NULL,
  what       TEXT NOT NULL,      -- context module launch (the first one of a function) limit stream graph; calls: those that
                                 -- could not be told from other changes; together: what these took, once it could be told
  bytes      INTEGER,            -- negative: given back. NULL: not known of this call
  calls      INTEGER NOT NULL
);

CREATE TABLE segment_fragmentation ( -- how the framework's segments were filled
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  moment     TEXT NOT NULL,      -- peak: when driver_used was highest; failure: the last one; end
  ts_ns      INTEGER NOT NULL,
  address    INTEGER,            -- where it begins; an expandable segment is a run of mappings without a gap
  bytes      INTEGER NOT NULL,
  live_bytes INTEGER NOT NULL,
  free_bytes INTEGER NOT NULL,
  largest_free_bytes INTEGER NOT NULL, -- in one piece
  blocks     INTEGER NOT NULL    -- live ones
);

CREATE TABLE at_peak_line (      -- what PyTorch's allocator had handed out at the peak of level sub, by Python stack
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  level      TEXT NOT NULL,      -- sub
  stack_id   INTEGER,            -- as in allocation
  bytes      INTEGER NOT NULL,
  count      INTEGER NOT NULL
);

CREATE TABLE failure_stack (     -- --python-lines: where PyTorch ran out of memory
  process_id INTEGER NOT NULL,
  ts_ns      INTEGER NOT NULL,   -- as in allocation_failure
  stack_id   INTEGER NOT NULL
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

-- Of runs with collectives, at the end of each ingest. "Communication" is a kernel of NCCL (nccl...Kernel...), "compute" any other;
-- copies are neither.

CREATE TABLE process_clock (     -- one clock for all processes
  process_id INTEGER PRIMARY KEY,
  offset_ns  INTEGER NOT NULL,   -- added to its times: CLOCK_MONOTONIC of the first process's host
  basis      TEXT NOT NULL       -- host: the same clock | calendar: another host, brought over by CLOCK_REALTIME of both, and no better
);

CREATE TABLE collective_match (  -- one collective on all ranks of its communicator. Times are on the one clock
  id             INTEGER PRIMARY KEY,
  team           INTEGER NOT NULL, -- a communicator with all its ranks; the same hash used again later is another one
  hash           INTEGER NOT NULL, -- communicator.hash; communicators without one cannot be matched
  name           TEXT,
  sequence       INTEGER NOT NULL,
  op             TEXT NOT NULL,  -- the first rank's, as dtype and bytes
  dtype          TEXT,
  bytes          INTEGER,        -- as passed
  ranks_expected INTEGER,        -- of the communicator
  ranks_recorded INTEGER NOT NULL,
  ranks_seen     INTEGER NOT NULL, -- that made this call
  missing        TEXT,           -- recorded ranks that never made it: 1,4-7. NULL: none
  unfinished     TEXT,           -- ranks whose call never returned
  unreported     TEXT,           -- ranks that died before the GPU reported its kernel, if it ran
  differs        INTEGER NOT NULL, -- 1: op or bytes are not the same on all ranks
  times          TEXT NOT NULL,  -- kernel: of NCCL's kernels, on every rank | call: of calls that return when all is done (ranks on
                                 -- the CPU) | enqueue: of calls that only hand the work to the GPU
  first_start_ns INTEGER NOT NULL,
  last_start_ns  INTEGER NOT NULL,
  end_ns         INTEGER,        -- of the last rank; NULL: missing or unfinished somewhere
  skew_ns        INTEGER NOT NULL, -- last_start_ns - first_start_ns
  duration_ns    INTEGER,        -- end_ns - last_start_ns
  last_rank      INTEGER,        -- that came last; NULL: only one rank
  last_process_id INTEGER,
  late_ns        INTEGER,        -- it came this long after the median of the others
  alg_gbps       REAL,           -- 10^9 bytes per second: bytes of all ranks' data (all_gather, reduce_scatter, all_to_all, gather,
                                 -- scatter: bytes x ranks) by duration_ns. NULL: times are of enqueue, or duration_ns is not known
  bus_gbps       REAL,           -- the same x NCCL's factor: all_reduce 2(n-1)/n; those above (n-1)/n; broadcast, reduce 1
  grouped        INTEGER NOT NULL -- collectives of one ncclGroupStart..End on it: they share kernels, and the bandwidth is of all
);

CREATE TABLE step_overlap_data ( -- what a GPU did in each iteration; an iteration begins with the first kernel launched in it
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,
  iteration  INTEGER,            -- as in phase; NULL: the whole recording
  begin_ns   INTEGER NOT NULL,   -- of the process's own clock
  end_ns     INTEGER NOT NULL,
  compute_ns INTEGER NOT NULL,   -- only compute
  communication_ns INTEGER NOT NULL, -- only communication
  both_ns    INTEGER NOT NULL,
  idle_ns    INTEGER NOT NULL,   -- neither: the four add up to end_ns - begin_ns
  compute_kernels       INTEGER NOT NULL,
  communication_kernels INTEGER NOT NULL,
  first_kernel INTEGER,          -- least and largest kernel.id of those that began in it
  last_kernel  INTEGER
);

CREATE TABLE rank_activity (     -- the same over time, in buckets of one width; without any work there is no row
  process_id INTEGER NOT NULL,
  device     INTEGER NOT NULL,   -- -1: no kernels were recorded, communication is the time inside collectives of ranks on the CPU
  ts_ns      INTEGER NOT NULL,
  width_ns   INTEGER NOT NULL,
  compute_ns INTEGER NOT NULL,
  communication_ns INTEGER NOT NULL,
  both_ns    INTEGER NOT NULL,
  PRIMARY KEY (process_id, device, ts_ns)
) WITHOUT ROWID;

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

CREATE VIEW breakdown_at_peak AS -- what PyTorch's memory and named regions were at the peak of their level
  SELECT a.process_id, p.rank, NULLIF(a.device, -1) AS device, COALESCE(a.category, 'unknown') AS category,
         SUM(a.bytes) AS bytes
    FROM at_peak a JOIN process p ON p.id = a.process_id WHERE a.level = 'sub'
   GROUP BY a.process_id, a.device, COALESCE(a.category, 'unknown');

CREATE VIEW iteration_memory AS  -- per iteration: its highest live bytes, and what it left behind
  WITH f AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY process_id, iteration ORDER BY end_ns DESC, id DESC) AS nth
               FROM phase WHERE iteration IS NOT NULL),
       m AS (SELECT phase_id, device, SUM(peak_bytes) AS peak_bytes, SUM(end_bytes) AS end_bytes
               FROM phase_memory GROUP BY phase_id, device)
  SELECT f.process_id, p.rank, NULLIF(m.device, -1) AS device, f.iteration, MIN(f.begin_ns) AS begin_ns,
         MAX(f.end_ns) AS end_ns, MAX(m.peak_bytes) AS peak_bytes,
         MAX(CASE WHEN f.nth = 1 THEN m.end_bytes END) AS end_bytes
    FROM f JOIN process p ON p.id = f.process_id JOIN m ON m.phase_id = f.id
   GROUP BY f.process_id, m.device, f.iteration;

CREATE VIEW account AS
  SELECT d.process_id, p.rank, d.device, d.ts_ns, d.owner, d.bytes
    FROM account_data d JOIN process p ON p.id = d.process_id;

CREATE VIEW post_mortem AS       -- processes that died, and of what. Failures that a program survived are not here
  WITH failed AS (               -- the last failure of each: of PyTorch's the last word, after its attempts at the driver
    SELECT f.*, f.rowid AS failure_id, ROW_NUMBER() OVER (PARTITION BY process_id ORDER BY ts_ns DESC, rowid DESC) AS n
      FROM allocation_failure f),
  last AS (
    SELECT f.*, (SELECT SUM(d.allocations) FROM peak_data d WHERE d.process_id = f.process_id AND d.device = COALESCE(f.device, -1)
                  AND d.series IN ('sub', 'held')) - f.sub_allocations - f.held_allocations AS after
      FROM failed f WHERE f.n = 1),
  dead AS (                      -- fatal: nothing was allocated after it (a watchdog may need minutes to end what hangs then),
                                 -- or next to nothing in the few seconds before a bad end
    SELECT p.id, p.rank, p.exit_status, p.ended, COALESCE(p.alive_ns, p.end_ns) AS gone_ns, l.*,
           COALESCE((l.after = 0 AND COALESCE(p.alive_ns, p.end_ns) - l.ts_ns < 900000000000)
                    OR (l.after < 64 AND COALESCE(p.alive_ns, p.end_ns) - l.ts_ns < 10000000000
                        AND (p.ended = 'killed' OR p.exit_status > 0)), 0) AS fatal,
           COALESCE(CASE WHEN p.ended = 'killed' THEN p.last_event_ns END, p.end_ns) AS last_ns
      FROM process p LEFT JOIN last l ON l.process_id = p.id
     WHERE p.ended = 'killed' OR (p.ended = 'exit' AND p.exit_status IS NOT 0)),
  refusal AS (                   -- of the driver, to the thread that failed, since something was allocated
    SELECT r.*, r.rowid AS refusal_id, d.id AS dead_id FROM dead d JOIN allocation_failure r ON r.process_id = d.id
     WHERE d.fatal AND r.device IS d.device AND r.source <> 'torch' AND r.thread_id IS d.thread_id
       AND r.sub_allocations = d.sub_allocations AND r.held_allocations = d.held_allocations AND r.ts_ns <= d.ts_ns)
  SELECT id AS process_id, rank, 'allocation failure' AS kind, device, ts_ns, bytes AS asked_bytes,
         source, library,        -- as in allocation_failure
         COALESCE(free_bytes,    -- of the device, as the driver said when it refused last
           (SELECT r.free_bytes FROM refusal r WHERE r.dead_id = d.id ORDER BY r.ts_ns DESC, r.refusal_id DESC LIMIT 1),
           (SELECT s.free_bytes FROM device_sample s WHERE s.process_id = d.id AND s.device = d.device
             AND s.ts_ns BETWEEN d.ts_ns - 1000000000 AND d.ts_ns ORDER BY s.ts_ns DESC LIMIT 1)) AS free_bytes,
         COALESCE(total_bytes, (SELECT MAX(r.total_bytes) FROM refusal r WHERE r.dead_id = d.id),
           (SELECT v.total_bytes FROM device v WHERE v.process_id = d.id AND v.device = d.device)) AS total_bytes,
         allocated_bytes, reserved_bytes, -- torch: the allocator's totals then
         (SELECT COUNT(*) FROM refusal r WHERE r.dead_id = d.id) AS refusals, -- of the driver in this attempt
         after AS allocations_after, range_id,
         (SELECT f.id FROM phase f WHERE f.process_id = d.id AND f.begin_ns <= d.ts_ns ORDER BY f.begin_ns DESC, f.id DESC LIMIT 1)
           AS phase_id,
         exit_status, gone_ns, last_ns AS last_event_ns -- the last sign of life, the last thing it did
    FROM dead d WHERE fatal
  UNION ALL
  SELECT id, rank, 'killed', (SELECT NULLIF(h.device, -1) FROM peak_data h WHERE h.process_id = d.id AND h.series IN ('held', 'sub')
           ORDER BY h.device < 0, h.live_bytes DESC LIMIT 1), gone_ns,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         (SELECT r.id FROM range r WHERE r.process_id = d.id AND r.end_ns IS NULL AND r.kind = 'push'
           ORDER BY r.begin_ns DESC, r.id DESC LIMIT 1),
         (SELECT f.id FROM phase f WHERE f.process_id = d.id AND f.begin_ns <= d.last_ns ORDER BY f.begin_ns DESC, f.id DESC LIMIT 1),
         exit_status, gone_ns, last_ns
    FROM dead d WHERE NOT fatal AND ended = 'killed';

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

CREATE VIEW collective_by_size AS -- per op and size, of all runs in the database: medians over the collectives that have the number
  WITH o AS (SELECT op, bytes, skew_ns, duration_ns, bus_gbps, grouped, COUNT(skew_ns) OVER s AS skews, ROW_NUMBER() OVER (s ORDER BY skew_ns) AS skew_at,
                    COUNT(duration_ns) OVER s AS durations, ROW_NUMBER() OVER (s ORDER BY duration_ns IS NULL, duration_ns) AS duration_at,
                    COUNT(bus_gbps) OVER s AS rates, ROW_NUMBER() OVER (s ORDER BY bus_gbps IS NULL, bus_gbps) AS rate_at
               FROM collective_match WINDOW s AS (PARTITION BY op, bytes))
  SELECT op, bytes, COUNT(*) AS calls, SUM(duration_ns IS NULL) AS incomplete,
         MAX(CASE WHEN skew_at = (skews + 1) / 2 THEN skew_ns END) AS median_skew_ns, MAX(skew_ns) AS max_skew_ns,
         MAX(CASE WHEN duration_at = (durations + 1) / 2 THEN duration_ns END) AS median_duration_ns,
         MAX(duration_ns) AS max_duration_ns, SUM(duration_ns / grouped) AS duration_ns,
         MAX(CASE WHEN rate_at = (rates + 1) / 2 THEN bus_gbps END) AS median_bus_gbps
    FROM o GROUP BY op, bytes;

CREATE VIEW step_overlap AS
  SELECT d.process_id, p.rank, d.device, d.iteration, d.begin_ns, d.end_ns,
         d.compute_ns + d.both_ns AS compute_ns, d.communication_ns + d.both_ns AS communication_ns, -- each with what ran beside it
         d.both_ns AS hidden_ns, d.communication_ns AS exposed_ns, d.idle_ns,
         100.0 * d.both_ns / NULLIF(d.communication_ns + d.both_ns, 0) AS hidden_percent
    FROM step_overlap_data d JOIN process p ON p.id = d.process_id;

CREATE VIEW straggler AS         -- per rank: how often the others waited for it, and how long
  WITH s AS (SELECT process_id, iteration, end_ns - begin_ns AS ns FROM step_overlap_data WHERE iteration IS NOT NULL
             UNION ALL SELECT process_id, iteration, MAX(end_ns) - MIN(begin_ns) FROM phase WHERE iteration IS NOT NULL
              AND process_id NOT IN (SELECT process_id FROM step_overlap_data WHERE iteration IS NOT NULL) GROUP BY 1, 2),
       m AS (SELECT process_id, ns, COUNT(*) OVER (PARTITION BY process_id) AS n,
                    ROW_NUMBER() OVER (PARTITION BY process_id ORDER BY ns) AS at FROM s)
  SELECT c.process_id, p.rank, c.collectives, COALESCE(l.last, 0) AS last, COALESCE(l.late_ns, 0) AS late_ns,
         l.max_late_ns, (SELECT MAX(ns) FROM m WHERE m.process_id = c.process_id AND at = (n + 1) / 2) AS median_step_ns
    FROM (SELECT process_id, COUNT(*) AS collectives FROM collective WHERE sequence IS NOT NULL GROUP BY process_id) c
    JOIN process p ON p.id = c.process_id
    LEFT JOIN (SELECT last_process_id, COUNT(*) AS last, SUM(late_ns) AS late_ns, MAX(late_ns) AS max_late_ns
                 FROM collective_match WHERE skew_ns > 0 GROUP BY last_process_id) l ON l.last_process_id = c.process_id;

CREATE VIEW allocation_line AS   -- of each allocation with a stack: the innermost frame that is not library code, else the innermost one
  SELECT a.id AS allocation_id, f.file AS file, f.function AS function, f.line AS line
    FROM allocation a JOIN stack s ON s.id = a.stack_id JOIN frame f ON f.id = COALESCE(s.line_frame_id, s.frame_id);

CREATE VIEW line_at_peak AS      -- the same at the peak of level sub, summed; file and function NULL: no stack is known
  SELECT l.process_id AS process_id, p.rank AS rank, NULLIF(l.device, -1) AS device, f.file AS file, f.function AS function,
         f.line AS line, SUM(l.bytes) AS bytes, SUM(l.count) AS count
    FROM at_peak_line l JOIN process p ON p.id = l.process_id LEFT JOIN stack s ON s.id = l.stack_id
    LEFT JOIN frame f ON f.id = COALESCE(s.line_frame_id, s.frame_id)
   GROUP BY l.process_id, l.device, f.file, f.function, f.line;

CREATE VIEW failure_line AS      -- of failures with a stack: as in allocation_line
  SELECT x.process_id AS process_id, x.ts_ns AS ts_ns, f.file AS file, f.function AS function, f.line AS line
    FROM failure_stack x JOIN stack s ON s.id = x.stack_id JOIN frame f ON f.id = COALESCE(s.line_frame_id, s.frame_id);
