-- The result of an experiment: the train workload's file, completed from the recording of its run. No number of memory is taken from
-- the file, and nothing unknown becomes 0. MB are 2^20 bytes, with 17 digits, or a sum of parts would not be the sum any more.
--
-- ?1 the file, ?2 process (NULL: not known), ?3 problem, ?4 exit status, ?5 name, ?6 recording, ?7 version, ?8 words
WITH
-- A device is judged by level sub: named regions and what allocators hand out.
top(device, bytes, ts) AS (
  SELECT device, peak_bytes, peak_ts_ns FROM peak_data WHERE process_id = ?2 AND series = 'sub'
     AND CASE json_extract(?1, '$.device') WHEN 'cuda' THEN device >= 0 WHEN 'cpu' THEN device < 0 ELSE 1 END
   ORDER BY peak_bytes DESC, device DESC LIMIT 1),
piece AS MATERIALIZED (
  SELECT COALESCE(a.category, 'unknown') AS category, a.name_id, SUM(a.bytes) AS bytes FROM allocation a, top
   WHERE a.process_id = ?2 AND COALESCE(a.device, -1) = top.device AND a.level = 'sub'
     AND NOT a.flags & 32 -- inside another piece: counted there
     AND a.alloc_ts_ns <= top.ts AND (a.free_ts_ns IS NULL OR a.free_ts_ns > top.ts)
   GROUP BY 1, 2),
component AS MATERIALIZED (
  SELECT category, COALESCE(s.text, category) AS name, SUM(bytes) AS bytes
    FROM piece LEFT JOIN string s ON s.id = name_id GROUP BY 1, 2),
part AS (
  SELECT CASE WHEN category IN ('parameter', 'unsharded_parameter') THEN 'model_parameters_mb'
              WHEN category IN ('gradient', 'unsharded_gradient') THEN 'gradients_mb'
              WHEN category = 'activation' THEN 'activation_hooks_mb' WHEN category = 'optimizer_state' THEN 'optimizer_states_mb'
              WHEN name GLOB 'workspace/norm_samples*' THEN 'norm_samples_mb' ELSE 'temp_matrices_mb' END AS key,
         SUM(bytes) AS bytes
    FROM component GROUP BY 1),
-- The n-th of a name in the file is the n-th of it in the recording. Without a file: all marks there are.
said AS (
  SELECT e.key AS place, e.value AS value, json_extract(e.value, '$.name') AS name,
         ROW_NUMBER() OVER (PARTITION BY json_extract(e.value, '$.name') ORDER BY e.key) AS nth
    FROM json_each(?1, '$.snapshots') e),
seen AS (
  SELECT s.*, ROW_NUMBER() OVER (PARTITION BY s.name ORDER BY s.ts_ns) AS nth FROM snapshot s, top
   WHERE s.process_id = ?2 AND COALESCE(s.device, -1) = top.device),
moment AS MATERIALIZED (
  SELECT said.place, said.value, said.name, seen.ts_ns, seen.allocated_bytes AS allocated, seen.reserved_bytes AS reserved,
         seen.max_allocated_bytes AS highest, json_extract(said.value, '$.arena_bytes') AS arena
    FROM said LEFT JOIN seen USING (name, nth)
   UNION ALL
  SELECT ts_ns, json_object('name', name), name, ts_ns, allocated_bytes, reserved_bytes, max_allocated_bytes, NULL FROM seen
   WHERE NOT EXISTS (SELECT 1 FROM said) AND name NOT IN ('end of process', 'out of memory')),
last AS (SELECT * FROM moment WHERE ts_ns IS NOT NULL ORDER BY ts_ns DESC LIMIT 1),
-- A part that the peak has nothing of is 0; without a peak all are unknown.
amount(place, key, bytes) AS (
  SELECT k.column1, k.column2, iif(EXISTS (SELECT 1 FROM component), COALESCE(part.bytes, 0), NULL)
    FROM (VALUES (1, 'model_parameters_mb'), (2, 'gradients_mb'), (3, 'activation_hooks_mb'), (4, 'norm_samples_mb'),
                 (5, 'temp_matrices_mb'), (6, 'optimizer_states_mb')) k LEFT JOIN part ON part.key = k.column2
   UNION ALL SELECT 7, 'total_allocated_mb', (SELECT allocated FROM last)
   UNION ALL SELECT 8, 'total_reserved_mb', (SELECT reserved FROM last)
   UNION ALL SELECT 9, 'peak_allocated_mb', (SELECT bytes FROM top)),
breakdown(object) AS (
  SELECT json_group_object(key, json(iif(bytes IS NULL, NULL, printf('%!.17g', bytes / 1048576.0))))
    FROM (SELECT * FROM amount ORDER BY place)),
categories(object) AS (
  SELECT json_group_object(category, bytes)
    FROM (SELECT category, SUM(bytes) AS bytes FROM component GROUP BY 1 ORDER BY 2 DESC, 1)),
components(list) AS (
  SELECT json_group_array(json_object('name', name, 'bytes', bytes))
    FROM (SELECT name, SUM(bytes) AS bytes FROM component GROUP BY 1 ORDER BY 2 DESC, 1)),
snapshots(list) AS (
  SELECT json_group_array(json_set(value,
           '$.allocated_mb', json(iif(allocated IS NULL, NULL, printf('%!.17g', allocated / 1048576.0))),
           '$.reserved_mb', json(iif(reserved IS NULL, NULL, printf('%!.17g', reserved / 1048576.0))),
           '$.max_allocated_mb', json(iif(highest IS NULL, NULL, printf('%!.17g', highest / 1048576.0))),
           '$.timestamp', (ts_ns - first) / 1e9, '$.arena_bytes', arena))
    FROM (SELECT *, (SELECT MIN(ts_ns) FROM moment) AS first FROM moment ORDER BY place)),
mismatch(yes) AS (
  SELECT EXISTS (SELECT 1 FROM moment WHERE allocated <> arena)
      OR COALESCE(json_extract(?1, '$.arena.peak_bytes') <> (SELECT bytes FROM top), 0)),
-- How it ended.
death(text) AS (
  SELECT CASE WHEN kind = 'killed' AND exit_status > 128 THEN 'killed by signal ' || (exit_status - 128)
              WHEN kind = 'killed' THEN 'killed'
              ELSE printf('an allocation of %.1f MiB failed', asked_bytes / 1048576.0) ||
                   iif(free_bytes IS NULL, '', printf(', %.1f MiB were free on the device', free_bytes / 1048576.0)) END
    FROM post_mortem WHERE process_id = ?2 LIMIT 1),
failed(yes) AS (SELECT ?3 IS NOT NULL OR ?4 <> 0 OR json_extract(?1, '$.status') IS NOT 'ok'),
why(n, text) AS (SELECT 1, json_extract(?1, '$.reason') UNION ALL SELECT 2, ?3 UNION ALL SELECT 3, text FROM death),
reason(text) AS (
  SELECT COALESCE((SELECT group_concat(text, '; ') FROM (SELECT text FROM why WHERE text <> '' ORDER BY n)),
                  iif(?4 > 128, 'ended by signal ' || (?4 - 128), 'ended with status ' || ?4))),
lost(text) AS (
  SELECT source || ' ' || reason || ' ' || count FROM loss WHERE process_id = ?2 AND count > 0
   UNION ALL SELECT DISTINCT source || ' was silent for a while' FROM gap WHERE process_id = ?2)
SELECT json_set(
  iif((SELECT yes FROM failed),
      json_remove(?1, '$.times_ms', '$.avg_time_ms', '$.median_time_ms', '$.min_time_ms', '$.first_time_ms'), json(?1)),
  '$.experiment', COALESCE(json_extract(?1, '$.experiment'), ?5),
  '$.status', iif((SELECT yes FROM failed), 'failed', 'ok'),
  '$.reason', iif((SELECT yes FROM failed), (SELECT text FROM reason), ''),
  '$.peak_memory_mb', json(iif((SELECT bytes FROM top) IS NULL, NULL, printf('%!.17g', (SELECT bytes FROM top) / 1048576.0))),
  '$.peak_bytes', (SELECT bytes FROM top),
  '$.breakdown', json((SELECT object FROM breakdown)),
  '$.categories', json((SELECT object FROM categories)),
  '$.components', json((SELECT list FROM components)),
  '$.snapshots', json((SELECT list FROM snapshots)),
  '$.arena_mismatch', json(iif((SELECT yes FROM mismatch), 'true', 'false')),
  '$.losses_of_recording', (SELECT group_concat(text, ', ') FROM (SELECT text FROM lost ORDER BY text)),
  '$.arguments', json(?8),
  '$.trace', (SELECT trace_level FROM process WHERE id = ?2),
  '$.recording', ?6, '$.process_id', ?2, '$.vramscope', ?7)
