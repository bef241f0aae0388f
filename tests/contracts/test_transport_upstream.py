"""What of Faust, mode and aiokafka is overridden, or relied on from within, has not changed under us."""

import hashlib
import importlib
import inspect

import pytest

# A change of one of these means: read the new code beside ours in pipeline/adapters/transport and tables.py, then set the hash.
KNOWN = {
    "faust.transport.consumer:Consumer.getmany": "4b168d84882a70d6",
    "faust.transport.consumer:Consumer._wait_next_records": "6218e1969a636b3f",
    "faust.transport.consumer:Consumer._drain_messages": "44a2500309e83c63",
    "faust.transport.consumer:Consumer.perform_seek": "0e8c130ff4b0afd8",
    "faust.transport.consumer:Consumer.on_partitions_revoked": "d04b7ae72c6fc206",
    "faust.transport.consumer:Consumer.on_stop": "45b1d2210ce2b526",
    "faust.transport.consumer:Consumer.force_commit": "cc094614d22c70fb",
    "faust.transport.consumer:Consumer._commit_tps": "a20e230b05ae8b15",
    "faust.transport.consumer:Consumer._filter_committable_offsets": "dc5e9baf5d994485",
    "faust.transport.consumer:Consumer._commit_offsets": "1a69799041188441",
    "faust.transport.consumer:Consumer._filter_tps_with_pending_acks": "f6f9239774234e7e",
    "faust.transport.consumer:Consumer._new_offset": "1d2c7ea89a7ad4f1",
    "faust.transport.consumer:Consumer._should_commit": "5ce941793947ad42",
    "faust.transport.consumer:Consumer.verify_all_partitions_active": "4e0e46f5c297305d",
    "faust.transport.consumer:ThreadDelegateConsumer._commit": "a20eec84e4b2ed50",
    "faust.transport.consumer:ThreadDelegateConsumer._seek": "4f95c631420410a5",
    "faust.transport.consumer:ThreadDelegateConsumer.seek_wait": "e9db5bbc4ceb2543",
    "faust.transport.drivers.aiokafka:Consumer._new_consumer_thread": "0870ec53dea75083",
    "faust.transport.drivers.aiokafka:Consumer._to_message": "7c24f6511b2fcef7",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.__post_init__": "913dc7c0d9578e2d",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer": "c2701bfc3e6f6cad",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._commit": "932852ce7a23f658",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._fetch_records": "39a2c6c79fc1455a",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._seek_wait": "9d221e816d940467",
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.seek": "1498560d05f02582",
    "faust.transport.conductor:Conductor._update_tp_index": "e8e3ac9025ef44f7",
    "faust.tables.recovery:Recovery.on_recovery_completed": "6ef567acf072e46d",
    "faust.tables.recovery:Recovery._resume_streams": "d986a6710c1aca98",
    "faust.tables.recovery:Recovery._restart_recovery": "6bd8a8558a2dffe4",
    "faust.tables.recovery:Recovery._build_highwaters": "91b4cc0d3724ae7b",
    "faust.tables.recovery:Recovery._wait": "ec7429b70176f8c6",
    "faust.tables.recovery:Recovery._build_offsets": "27eec86be06cb51f",
    "mode.services:Service.wait_first": "feade6a31f8a6789",
    "faust.tables.recovery:Recovery._slurp_changelogs": "7825c7e50f766d5a",
    "faust.tables.manager:TableManager.on_start": "365dd25fbc0e0684",
    "faust.tables.manager:TableManager.recovery": "f0bf5de78b4c3d23",
    "faust.tables.base:Collection._new_store": "914a2bda605d38f5",
    "faust.tables.base:Collection._verify_source_topic_partitions": "6814da56b0d83f93",
    "faust.stores.memory:Store.apply_changelog_batch": "71863e3cd727aac2",
    "faust.stores.memory:Store.on_recovery_completed": "a00bef343e139602",
    "faust.stores.base:Store.on_rebalance": "a32fbe3c18de4288",
    "faust.app.base:App._create_directories": "a9f571c3b04abec3",
    "faust.app.base:App._on_partitions_revoked": "d5c895bbe57dc73a",
    "faust.app.base:App._stop_consumer": "55854a5de12c3f52",
    "mode.services:Service.crash": "14980000465df0af",
    "mode.utils.queues:FlowControlQueue.clear": "fa9a86f6b097c90f",
    "aiokafka.codec:gzip_decode": "2cb4916134734ad1",
    "aiokafka.codec:snappy_decode": "c3451c6afa0b752e",
    "aiokafka.codec:lz4_decode": "854d856657373077",
    "aiokafka.codec:zstd_decode": "366f86f6ee729344",
    "aiokafka.consumer.fetcher:FetchResult.getall": "3e717e30de5068d5",
    "aiokafka.consumer.fetcher:FetchResult.check_assignment": "b5340df67e3f330f",
    "aiokafka.consumer.fetcher:FetchResult._update_position": "83fb1473bf10027b",
    "aiokafka.consumer.fetcher:PartitionRecords.__init__": "8ec1c2ae6ea1af87",
    "aiokafka.consumer.fetcher:PartitionRecords._unpack_records": "b803e6d46480732c",
    "aiokafka.consumer.fetcher:PartitionRecords._consume_aborted_up_to": "56876530cd6412f3",
    "aiokafka.consumer.fetcher:PartitionRecords._contains_abort_marker": "17e9ad2322ef4e0a",
    "aiokafka.consumer.fetcher:PartitionRecords._consumer_record": "e668541600b047ab",
    "aiokafka.consumer.fetcher:Fetcher.fetched_records": "be4348896b9b66af",
    "aiokafka.consumer.fetcher:Fetcher.seek_to": "f0ba6aba6c22ef83",
    "aiokafka.consumer.fetcher:Fetcher.request_offset_reset": "e5bd8ba8838613c9",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.fetch_committed_offsets": "6c049c7379165952",
    "aiokafka.consumer.group_coordinator:GroupCoordinator.commit_offsets": "5cbe31af28d6cc06",
    "faust.transport.drivers.aiokafka:Producer._ensure_producer": "5592a4bbdf251325",
    "aiokafka.producer.producer:AIOKafkaProducer.send": "08ce81263f439838",
    "aiokafka.producer.producer:AIOKafkaProducer._serialize": "eb7723aa42b2a40e",
    "aiokafka.producer.message_accumulator:MessageAccumulator.add_message": "56ff7e6c19185f83",
    "aiokafka.producer.message_accumulator:MessageAccumulator._append_batch": "4762abfc42cbaa15",
    "aiokafka.producer.message_accumulator:MessageAccumulator.drain_by_nodes": "fc995afbfc5718e2",
    "aiokafka.producer.message_accumulator:MessageAccumulator._pop_batch": "41cc98a298ef2628",
    "aiokafka.producer.message_accumulator:MessageBatch.append": "e3ff2fc253fdd6ce",
    "aiokafka.producer.message_accumulator:MessageBatch.done": "2d765e5c2dc8638d",
    "aiokafka.producer.message_accumulator:MessageBatch.failure": "719b2122c318e955",
    "aiokafka.producer.message_accumulator:BatchBuilder.append": "657d76f55157d9ca",
    "aiokafka.producer.message_accumulator:BatchBuilder.__init__": "35b335f054d36d27",
    "aiokafka.producer.message_accumulator:BatchBuilder.closed": "16b9c254eeecca09",
    "aiokafka.producer.message_accumulator:BatchBuilder.close": "084fb8748d27f9b6",
    "aiokafka.producer.message_accumulator:BatchBuilder.record_count": "3a3d4948a3b70702",
    "aiokafka.producer.message_accumulator:BatchBuilder._build": "2ea37ea8632073e3",
    "aiokafka.producer.message_accumulator:MessageBatch.is_empty": "2825b0028dbf5e6b",
    "aiokafka.producer.message_accumulator:MessageAccumulator.create_builder": "13dcd0ebf6b9eb44",
    "aiokafka.record.default_records:_DefaultRecordBatchBuilderPy.append": "9c5ddd13af84f2a1",
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_upstream_code_is_the_code_that_ours_was_written_against(name: str) -> None:
    module, _, path = name.partition(":")
    found: object = importlib.import_module(module)
    for part in path.split("."):
        found = inspect.getattr_static(found, part)

    assert fingerprint(found) == KNOWN[name]


def fingerprint(found: object) -> str:
    function = found.fget if isinstance(found, property) else getattr(found, "fun", found)  # ServiceTask keeps it in .fun
    return hashlib.sha256(inspect.getsource(inspect.unwrap(function)).encode()).hexdigest()[:16]  # type: ignore[arg-type]
