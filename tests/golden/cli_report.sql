-- SPDX-License-Identifier: MIT
-- Rows for test_cli_report.c: two of four ranks, one killed, everything that a report can show. Never real data.
INSERT INTO string VALUES(1,'step'),(2,'step/forward'),(3,'step/backward'),(4,'ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_tn with a very long tail that does not fit into any line of a terminal'),(5,'evil'||char(27)||'[31mred'||char(10)||'name'),(6,'前向传播/层一');
INSERT INTO process(id,host,pid,rank,local_rank,world_size,launcher,command_line,trace_level,start_ns,start_real_ns,end_ns,ended,delivered_ns,driver_version,cupti_version,nccl_version,log_bytes,host_bytes,gpu_buffer_bytes,overhead_ns) VALUES
 (1,'node17',4711,0,0,4,'torchrun','python train.py --steps 10',"kernels",1000000000,1795233190000000000,13345000000,'exit',13345000000,'580.159.04','13.0','2.28.9',12900000,8388608,25165824,1234567),
 (2,'node17',4712,1,1,4,'torchrun','python train.py --steps 10',"kernels",1000000000,1795233190000000000,13345000000,'killed',13225000000,'580.159.04','13.0','2.28.9',12900000,8388608,25165824,1234567);
INSERT INTO device VALUES(1,0,'NVIDIA H200','GPU-a','0000:01:00',150754820096),(2,1,'NVIDIA H200','GPU-b','0000:02:00',150754820096);
INSERT INTO range(id,process_id,thread_id,parent_id,depth,name_id,kind,begin_ns,end_ns) VALUES(1,1,1,NULL,0,1,'push',1100000000,2000000000),(2,1,1,1,1,2,'push',1200000000,1900000000),(3,2,2,NULL,0,3,'push',1,2);
INSERT INTO peak_data VALUES(1,0,'sub',8404051968,4204000000,3120903680,12034,11020,2),(1,0,'held',8722055168,4100000000,8722055168,124,20,1),(1,0,'driver_used',9600000000,4300000000,9500000000,0,0,NULL),(1,0,'torch',8404051968,4204000000,3120903680,12034,11020,2),(1,0,'torch_allocated',8404051968,4204000000,3120903680,0,0,2),(1,0,'torch_reserved',8590000000,4204000000,3120903680,0,0,2),
 (2,1,'sub',8404051000,4204000000,3120903680,12034,11020,3),(2,1,'held',8722055168,4100000000,8722055168,124,20,3);
INSERT INTO at_peak VALUES(1,0,'held','cuda',NULL,1,'step',8590000000,100),(1,0,'held','nccl',NULL,1,'step',132055168,4),(1,0,'sub','torch',NULL,2,'step/forward',6404051968,900),(1,0,'sub','torch',NULL,3,'step/backward',1000000000,80),(1,0,'sub','torch',NULL,NULL,NULL,900000000,34),(1,0,'sub','torch',NULL,7,'evil'||char(27)||'[31mred',60000000,1),(1,0,'sub','torch',NULL,8,'前向传播/层一',30000000,1),(1,0,'sub','torch',NULL,9,'a',5000000,1),(1,0,'sub','torch',NULL,9,'b',3000000,1),(1,0,'sub','torch',NULL,9,'c',2000000,1);
INSERT INTO allocation(id,process_id,device,level,parent_id,source,address,bytes,alloc_ts_ns,free_ts_ns,alloc_range_id,imported,flags,library,name_id) VALUES
 (1,1,0,'held',NULL,'cuda',4096,2097152,1500000000,NULL,1,0,0,'libc10_cuda.so',NULL),(2,1,0,'sub',1,'torch',4096,1048576,1500000001,NULL,2,0,0,NULL,NULL),(3,1,0,'held',NULL,'nccl',1048576000,134217728,1600000000,NULL,NULL,0,4,'libnccl.so.2',NULL),(4,2,1,'held',NULL,'host',5,4096,1700000000,NULL,3,0,0,NULL,5),(5,2,1,'held',NULL,'cuda',6,123456789,1,2,NULL,0,0,NULL,NULL);
INSERT INTO kernel_total VALUES(1,0,4,100000,5000000000,1000,90000,0),(1,0,5,5000,1000000000,1000,90000,2);
INSERT INTO range_total VALUES(1,NULL,1,10,12000000000,0,11000000000),(1,NULL,2,10,7000000000,5000000000,6900000000),(2,'nccl'||char(7),6,10,70000000,0,NULL);
UPDATE range_total SET gpu_ns=0 WHERE gpu_ns IS NULL;
INSERT INTO collective(id,process_id,op,bytes,begin_ns,end_ns,result,origin) VALUES(1,1,'all_gather',1073741824,1,1000000,0,'call'),(2,1,'all_gather',1073741824,1,1000000,0,'call'),(3,1,'reduce_scatter',5,1,2000,5,'call'),(4,2,'reduce_scatter',5,1,NULL,NULL,'call');
INSERT INTO allocation_failure VALUES(1,0,'torch',2147483648,1100000000,150754820096,8404051968,8722055168,NULL,9000000000,1,2,NULL,12000,110);
INSERT INTO loss VALUES(1,'gpu','untimed',2),(2,'gpu','undelivered',312);
INSERT INTO balance VALUES(1,'torch',100,97,1),(2,'torch',NULL,97,1),(2,'cuda',5,5,0);
INSERT INTO gap VALUES(1,'gpu',5000000000,8200000000,'Kineto');
INSERT INTO overhead VALUES(1,'buffer',10,1000000);
UPDATE at_peak SET category = CASE range_name WHEN 'step/forward' THEN 'activation' WHEN 'step/backward' THEN 'gradient' WHEN 'a' THEN 'temporary' ELSE 'unknown' END WHERE level = 'sub' AND range_name IS NOT NULL;
UPDATE at_peak SET category = 'parameter' WHERE level = 'sub' AND range_name IS NULL;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 11) INSERT INTO phase SELECT i + 1, 1, 'backward', i, 1000000000 + i * 900000000, 1900000000 + i * 900000000, 'inferred' FROM n;
INSERT INTO phase_memory SELECT id, 1, 0, 'activation', begin_ns, 7504051968, iteration * 104857600 FROM phase;
INSERT INTO phase_memory SELECT id, 1, 0, 'parameter', begin_ns, 900000000, 900000000 FROM phase;
