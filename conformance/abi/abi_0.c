/* SPDX-License-Identifier: MIT */
/* What a program that was compiled against an earlier choir knows about it. Made by record.py; never edited.
 * See README.md. */
#include <choir/choir.h>
#include <choir/net.h>
#include <stddef.h>

#define SAME(what, value) _Static_assert((what) == (value), #what " was " #value)
#define GROWN(type, size) _Static_assert(sizeof(type) >= (size), #type " had " #size " bytes")

SAME(sizeof(choir_allocator), 32);
GROWN(choir_announcement, 16);
GROWN(choir_attachment_options, 96);
GROWN(choir_binder, 32);
GROWN(choir_binding_site, 16);
SAME(sizeof(choir_bytes), 16);
SAME(sizeof(choir_call_id), 8);
GROWN(choir_call_options, 72);
GROWN(choir_client_options, 72);
SAME(sizeof(choir_conn_id), 8);
GROWN(choir_conn_options, 120);
GROWN(choir_env_options, 104);
GROWN(choir_event, 184);
GROWN(choir_evidence, 72);
GROWN(choir_field, 16);
GROWN(choir_hello, 72);
GROWN(choir_hooks, 40);
SAME(sizeof(choir_iov), 16);
SAME(sizeof(choir_key), 8);
SAME(sizeof(choir_list), 16);
GROWN(choir_loop_options, 24);
SAME(sizeof(choir_metadata), 24);
SAME(sizeof(choir_metadata_entry), 56);
GROWN(choir_method, 40);
SAME(sizeof(choir_observer), 24);
GROWN(choir_param, 8);
GROWN(choir_reason, 40);
GROWN(choir_reply_options, 48);
SAME(sizeof(choir_request_id), 8);
SAME(sizeof(choir_responder), 40);
SAME(sizeof(choir_rx), 8);
GROWN(choir_schema, 16);
SAME(sizeof(choir_served), 64);
GROWN(choir_server_options, 1104);
GROWN(choir_service, 24);
GROWN(choir_session_options, 88);
SAME(sizeof(choir_str), 16);
GROWN(choir_stream_ops, 72);
GROWN(choir_stream_wait, 8);
SAME(sizeof(choir_timespan), 16);
SAME(sizeof(choir_tx), 8);
GROWN(choir_type, 48);
SAME(sizeof(choir_u128), 16);
GROWN(choir_unit, 136);
GROWN(choir_variant, 16);
SAME(sizeof(choir_view), 24);
SAME(offsetof(choir_allocator, alloc), 0);
SAME(offsetof(choir_allocator, realloc), 8);
SAME(offsetof(choir_allocator, free), 16);
SAME(offsetof(choir_allocator, ctx), 24);
SAME(offsetof(choir_announcement, first), 0);
SAME(offsetof(choir_announcement, count), 4);
SAME(offsetof(choir_announcement, root), 8);
SAME(offsetof(choir_announcement, root_len), 12);
SAME(offsetof(choir_attachment_options, size), 0);
SAME(offsetof(choir_attachment_options, framing), 8);
SAME(offsetof(choir_attachment_options, max_payload), 12);
SAME(offsetof(choir_attachment_options, max_handshake), 16);
SAME(offsetof(choir_attachment_options, min_rate), 20);
SAME(offsetof(choir_attachment_options, min_output_rate), 24);
SAME(offsetof(choir_attachment_options, handshake_timeout), 32);
SAME(offsetof(choir_attachment_options, frame_timeout), 40);
SAME(offsetof(choir_attachment_options, write_stall_timeout), 48);
SAME(offsetof(choir_attachment_options, wake), 56);
SAME(offsetof(choir_attachment_options, wake_ctx), 64);
SAME(offsetof(choir_attachment_options, user_data), 72);
SAME(offsetof(choir_attachment_options, codecs), 80);
SAME(offsetof(choir_attachment_options, resumed_input), 84);
SAME(offsetof(choir_attachment_options, evidence), 88);
SAME(offsetof(choir_binder, size), 0);
SAME(offsetof(choir_binder, ctx), 8);
SAME(offsetof(choir_binder, bind), 16);
SAME(offsetof(choir_binder, unbind), 24);
SAME(offsetof(choir_binding_site, unit), 0);
SAME(offsetof(choir_binding_site, type), 8);
SAME(offsetof(choir_binding_site, kind), 12);
SAME(offsetof(choir_bytes, data), 0);
SAME(offsetof(choir_bytes, len), 8);
SAME(offsetof(choir_call_id, v), 0);
SAME(offsetof(choir_call_options, size), 0);
SAME(offsetof(choir_call_options, deadline), 8);
SAME(offsetof(choir_call_options, metadata), 16);
SAME(offsetof(choir_call_options, metadata_len), 24);
SAME(offsetof(choir_call_options, user_data), 32);
SAME(offsetof(choir_call_options, callback), 40);
SAME(offsetof(choir_call_options, chunk), 48);
SAME(offsetof(choir_call_options, encoded_args), 56);
SAME(offsetof(choir_client_options, size), 0);
SAME(offsetof(choir_client_options, service), 8);
SAME(offsetof(choir_client_options, connect_timeout), 16);
SAME(offsetof(choir_client_options, ctx), 24);
SAME(offsetof(choir_client_options, opened), 32);
SAME(offsetof(choir_client_options, closed), 40);
SAME(offsetof(choir_client_options, writable), 48);
SAME(offsetof(choir_client_options, session), 56);
SAME(offsetof(choir_client_options, attachment), 64);
SAME(offsetof(choir_conn_id, v), 0);
SAME(offsetof(choir_conn_options, size), 0);
SAME(offsetof(choir_conn_options, serve), 8);
SAME(offsetof(choir_conn_options, call), 16);
SAME(offsetof(choir_conn_options, metadata), 24);
SAME(offsetof(choir_conn_options, metadata_len), 32);
SAME(offsetof(choir_conn_options, max_concurrent_requests), 40);
SAME(offsetof(choir_conn_options, max_queued_requests), 44);
SAME(offsetof(choir_conn_options, max_queued_request_bytes), 48);
SAME(offsetof(choir_conn_options, max_queued_call_bytes), 56);
SAME(offsetof(choir_conn_options, max_queued_calls), 64);
SAME(offsetof(choir_conn_options, glitch_burst), 68);
SAME(offsetof(choir_conn_options, glitch_rate), 72);
SAME(offsetof(choir_conn_options, reserved), 76);
SAME(offsetof(choir_conn_options, max_output), 80);
SAME(offsetof(choir_conn_options, max_answers), 88);
SAME(offsetof(choir_conn_options, hooks), 96);
SAME(offsetof(choir_conn_options, user_data), 104);
SAME(offsetof(choir_conn_options, destroy), 112);
SAME(offsetof(choir_env_options, size), 0);
SAME(offsetof(choir_env_options, allocator), 8);
SAME(offsetof(choir_env_options, random), 40);
SAME(offsetof(choir_env_options, random_ctx), 48);
SAME(offsetof(choir_env_options, log), 56);
SAME(offsetof(choir_env_options, log_ctx), 64);
SAME(offsetof(choir_env_options, log_level), 72);
SAME(offsetof(choir_env_options, reserved), 76);
SAME(offsetof(choir_env_options, memory_quota), 80);
SAME(offsetof(choir_env_options, wall), 88);
SAME(offsetof(choir_env_options, wall_ctx), 96);
SAME(offsetof(choir_event, size), 0);
SAME(offsetof(choir_event, kind), 8);
SAME(offsetof(choir_event, status), 12);
SAME(offsetof(choir_event, conn), 16);
SAME(offsetof(choir_event, call), 24);
SAME(offsetof(choir_event, request), 32);
SAME(offsetof(choir_event, user_data), 40);
SAME(offsetof(choir_event, service), 48);
SAME(offsetof(choir_event, method), 56);
SAME(offsetof(choir_event, outcome), 60);
SAME(offsetof(choir_event, value), 64);
SAME(offsetof(choir_event, payload), 72);
SAME(offsetof(choir_event, metadata), 88);
SAME(offsetof(choir_event, text), 112);
SAME(offsetof(choir_event, callback), 128);
SAME(offsetof(choir_event, unit), 136);
SAME(offsetof(choir_event, type), 144);
SAME(offsetof(choir_event, ran), 148);
SAME(offsetof(choir_event, method_id), 152);
SAME(offsetof(choir_event, channel), 160);
SAME(offsetof(choir_event, deadline), 168);
SAME(offsetof(choir_event, evidence), 176);
SAME(offsetof(choir_evidence, size), 0);
SAME(offsetof(choir_evidence, scheme), 8);
SAME(offsetof(choir_evidence, peer), 24);
SAME(offsetof(choir_evidence, local), 40);
SAME(offsetof(choir_evidence, flags), 56);
SAME(offsetof(choir_evidence, uid), 60);
SAME(offsetof(choir_evidence, gid), 64);
SAME(offsetof(choir_evidence, pid), 68);
SAME(offsetof(choir_field, name), 0);
SAME(offsetof(choir_field, type), 4);
SAME(offsetof(choir_field, offset), 8);
SAME(offsetof(choir_field, flags), 12);
SAME(offsetof(choir_hello, parity), 0);
SAME(offsetof(choir_hello, max_concurrent_requests), 4);
SAME(offsetof(choir_hello, supports_retry), 8);
SAME(offsetof(choir_hello, resume_key_len), 12);
SAME(offsetof(choir_hello, resume_key), 16);
SAME(offsetof(choir_hello, service), 24);
SAME(offsetof(choir_hello, metadata), 40);
SAME(offsetof(choir_hello, evidence), 64);
SAME(offsetof(choir_hooks, size), 0);
SAME(offsetof(choir_hooks, ctx), 8);
SAME(offsetof(choir_hooks, decide), 16);
SAME(offsetof(choir_hooks, seal), 24);
SAME(offsetof(choir_hooks, ended), 32);
SAME(offsetof(choir_iov, base), 0);
SAME(offsetof(choir_iov, len), 8);
SAME(offsetof(choir_key, name), 0);
SAME(offsetof(choir_list, items), 0);
SAME(offsetof(choir_list, len), 8);
SAME(offsetof(choir_loop_options, size), 0);
SAME(offsetof(choir_loop_options, base), 8);
SAME(offsetof(choir_loop_options, env), 16);
SAME(offsetof(choir_metadata, entries), 0);
SAME(offsetof(choir_metadata, count), 16);
SAME(offsetof(choir_metadata_entry, key), 0);
SAME(offsetof(choir_metadata_entry, type), 16);
SAME(offsetof(choir_metadata_entry, reserved), 20);
SAME(offsetof(choir_metadata_entry, bytes), 24);
SAME(offsetof(choir_metadata_entry, u64), 40);
SAME(offsetof(choir_metadata_entry, flags), 48);
SAME(offsetof(choir_method, name), 0);
SAME(offsetof(choir_method, flags), 4);
SAME(offsetof(choir_method, args), 8);
SAME(offsetof(choir_method, ok), 12);
SAME(offsetof(choir_method, err), 16);
SAME(offsetof(choir_method, reserved), 20);
SAME(offsetof(choir_method, id), 24);
SAME(offsetof(choir_method, args_announcement), 32);
SAME(offsetof(choir_method, response_announcement), 36);
SAME(offsetof(choir_observer, event), 0);
SAME(offsetof(choir_observer, ctx), 8);
SAME(offsetof(choir_observer, next), 16);
SAME(offsetof(choir_param, name), 0);
SAME(offsetof(choir_param, type), 4);
SAME(offsetof(choir_reason, size), 0);
SAME(offsetof(choir_reason, text), 8);
SAME(offsetof(choir_reason, metadata), 24);
SAME(offsetof(choir_reason, metadata_len), 32);
SAME(offsetof(choir_reply_options, size), 0);
SAME(offsetof(choir_reply_options, metadata), 8);
SAME(offsetof(choir_reply_options, metadata_len), 16);
SAME(offsetof(choir_reply_options, chunk), 24);
SAME(offsetof(choir_reply_options, encoded), 32);
SAME(offsetof(choir_request_id, v), 0);
SAME(offsetof(choir_responder, loop), 0);
SAME(offsetof(choir_responder, session), 8);
SAME(offsetof(choir_responder, request), 16);
SAME(offsetof(choir_responder, service), 24);
SAME(offsetof(choir_responder, method), 32);
SAME(offsetof(choir_rx, v), 0);
SAME(offsetof(choir_schema, id), 0);
SAME(offsetof(choir_schema, at), 8);
SAME(offsetof(choir_schema, len), 12);
SAME(offsetof(choir_served, service), 0);
SAME(offsetof(choir_served, handlers), 8);
SAME(offsetof(choir_served, dispatch), 16);
SAME(offsetof(choir_served, dispatch_to), 24);
SAME(offsetof(choir_served, ctx), 32);
SAME(offsetof(choir_served, reserved), 40);
SAME(offsetof(choir_server_options, size), 0);
SAME(offsetof(choir_server_options, services), 8);
SAME(offsetof(choir_server_options, services_len), 1032);
SAME(offsetof(choir_server_options, cancelled), 1040);
SAME(offsetof(choir_server_options, ended), 1048);
SAME(offsetof(choir_server_options, opened), 1056);
SAME(offsetof(choir_server_options, closed), 1064);
SAME(offsetof(choir_server_options, ctx), 1072);
SAME(offsetof(choir_server_options, max_sessions), 1080);
SAME(offsetof(choir_server_options, max_handshakes), 1084);
SAME(offsetof(choir_server_options, session), 1088);
SAME(offsetof(choir_server_options, attachment), 1096);
SAME(offsetof(choir_service, unit), 0);
SAME(offsetof(choir_service, name), 8);
SAME(offsetof(choir_service, methods_len), 12);
SAME(offsetof(choir_service, methods), 16);
SAME(offsetof(choir_session_options, size), 0);
SAME(offsetof(choir_session_options, root), 8);
SAME(offsetof(choir_session_options, codec), 16);
SAME(offsetof(choir_session_options, max_connections), 20);
SAME(offsetof(choir_session_options, memory_quota), 24);
SAME(offsetof(choir_session_options, keepalive_idle), 32);
SAME(offsetof(choir_session_options, keepalive_busy), 40);
SAME(offsetof(choir_session_options, keepalive_send), 48);
SAME(offsetof(choir_session_options, wake), 56);
SAME(offsetof(choir_session_options, wake_ctx), 64);
SAME(offsetof(choir_session_options, user_data), 72);
SAME(offsetof(choir_session_options, destroy), 80);
SAME(offsetof(choir_str, data), 0);
SAME(offsetof(choir_str, len), 8);
SAME(offsetof(choir_stream_ops, size), 0);
SAME(offsetof(choir_stream_ops, read), 8);
SAME(offsetof(choir_stream_ops, writev), 16);
SAME(offsetof(choir_stream_ops, shut), 24);
SAME(offsetof(choir_stream_ops, close), 32);
SAME(offsetof(choir_stream_ops, wait), 40);
SAME(offsetof(choir_stream_ops, evidence), 48);
SAME(offsetof(choir_stream_ops, error), 56);
SAME(offsetof(choir_stream_ops, unsent), 64);
SAME(offsetof(choir_stream_wait, fd), 0);
SAME(offsetof(choir_stream_wait, ready), 4);
SAME(offsetof(choir_timespan, seconds), 0);
SAME(offsetof(choir_timespan, nanoseconds), 8);
SAME(offsetof(choir_tx, v), 0);
SAME(offsetof(choir_type, kind), 0);
SAME(offsetof(choir_type, name), 4);
SAME(offsetof(choir_type, size), 8);
SAME(offsetof(choir_type, align), 12);
SAME(offsetof(choir_type, elem), 16);
SAME(offsetof(choir_type, elem2), 20);
SAME(offsetof(choir_type, first), 24);
SAME(offsetof(choir_type, count), 28);
SAME(offsetof(choir_type, offset), 32);
SAME(offsetof(choir_type, decl), 36);
SAME(offsetof(choir_type, first_param), 40);
SAME(offsetof(choir_type, params), 44);
SAME(offsetof(choir_u128, lo), 0);
SAME(offsetof(choir_u128, hi), 8);
SAME(offsetof(choir_unit, abi), 0);
SAME(offsetof(choir_unit, size), 4);
SAME(offsetof(choir_unit, type_stride), 8);
SAME(offsetof(choir_unit, field_stride), 10);
SAME(offsetof(choir_unit, variant_stride), 12);
SAME(offsetof(choir_unit, method_stride), 14);
SAME(offsetof(choir_unit, param_stride), 16);
SAME(offsetof(choir_unit, schema_stride), 18);
SAME(offsetof(choir_unit, announcement_stride), 20);
SAME(offsetof(choir_unit, reserved), 22);
SAME(offsetof(choir_unit, types_len), 24);
SAME(offsetof(choir_unit, fields_len), 28);
SAME(offsetof(choir_unit, variants_len), 32);
SAME(offsetof(choir_unit, strings_len), 36);
SAME(offsetof(choir_unit, params_len), 40);
SAME(offsetof(choir_unit, schemas_len), 44);
SAME(offsetof(choir_unit, announcements_len), 48);
SAME(offsetof(choir_unit, parts_len), 52);
SAME(offsetof(choir_unit, schema_bytes_len), 56);
SAME(offsetof(choir_unit, types), 64);
SAME(offsetof(choir_unit, fields), 72);
SAME(offsetof(choir_unit, variants), 80);
SAME(offsetof(choir_unit, strings), 88);
SAME(offsetof(choir_unit, params), 96);
SAME(offsetof(choir_unit, schemas), 104);
SAME(offsetof(choir_unit, announcements), 112);
SAME(offsetof(choir_unit, parts), 120);
SAME(offsetof(choir_unit, schema_bytes), 128);
SAME(offsetof(choir_variant, name), 0);
SAME(offsetof(choir_variant, shape), 4);
SAME(offsetof(choir_variant, first), 8);
SAME(offsetof(choir_variant, count), 12);
SAME(offsetof(choir_view, unit), 0);
SAME(offsetof(choir_view, type), 8);
SAME(offsetof(choir_view, value), 16);
SAME(CHOIR_CODEC_MSGPACK, 1);
SAME(CHOIR_CODEC_POSTCARD, 0);
SAME(CHOIR_COUNT_BTREE_MAP, 1);
SAME(CHOIR_COUNT_BTREE_SET, 0);
SAME(CHOIR_COUNT_HASH_MAP, 0);
SAME(CHOIR_COUNT_HASH_SET, 1);
SAME(CHOIR_COUNT_SLICE, 1);
SAME(CHOIR_COUNT_VEC, 0);
SAME(CHOIR_ERR_FATAL, -1000);
SAME(CHOIR_EVENT_CALL_DONE, 6);
SAME(CHOIR_EVENT_CONN_CLOSED, 4);
SAME(CHOIR_EVENT_CONN_WRITABLE, 5);
SAME(CHOIR_EVENT_REQUEST, 7);
SAME(CHOIR_EVENT_REQUEST_CANCELLED, 8);
SAME(CHOIR_EVENT_REQUEST_DONE, 9);
SAME(CHOIR_EVENT_SESSION_CLOSED, 3);
SAME(CHOIR_EVENT_SESSION_DETACHED, 2);
SAME(CHOIR_EVENT_SESSION_ESTABLISHED, 1);
SAME(CHOIR_EVENT_SESSION_PONG, 10);
SAME(CHOIR_EVENT_SESSION_RESUMED, 11);
SAME(CHOIR_EVIDENCE_CREDENTIALS, 1);
SAME(CHOIR_FIELD_DEFAULT, 1);
SAME(CHOIR_FIELD_SENSITIVE, 2);
SAME(CHOIR_FINISHED, 4);
SAME(CHOIR_FRAMING_NONE, 1);
SAME(CHOIR_FRAMING_U32LE, 0);
SAME(CHOIR_HAS_OUTPUT, 2);
SAME(CHOIR_KIND_ARRAY, 23);
SAME(CHOIR_KIND_BOOL, 1);
SAME(CHOIR_KIND_BOX, 24);
SAME(CHOIR_KIND_BYTES, 16);
SAME(CHOIR_KIND_CHAR, 14);
SAME(CHOIR_KIND_DURATION, 31);
SAME(CHOIR_KIND_ENUM, 27);
SAME(CHOIR_KIND_F32, 12);
SAME(CHOIR_KIND_F64, 13);
SAME(CHOIR_KIND_I128, 11);
SAME(CHOIR_KIND_I16, 8);
SAME(CHOIR_KIND_I32, 9);
SAME(CHOIR_KIND_I64, 10);
SAME(CHOIR_KIND_I8, 7);
SAME(CHOIR_KIND_LIST, 20);
SAME(CHOIR_KIND_MAP, 22);
SAME(CHOIR_KIND_NEVER, 18);
SAME(CHOIR_KIND_OPTION, 19);
SAME(CHOIR_KIND_RESULT, 28);
SAME(CHOIR_KIND_RX, 30);
SAME(CHOIR_KIND_SET, 21);
SAME(CHOIR_KIND_STRING, 15);
SAME(CHOIR_KIND_STRUCT, 26);
SAME(CHOIR_KIND_TUPLE, 25);
SAME(CHOIR_KIND_TX, 29);
SAME(CHOIR_KIND_U128, 6);
SAME(CHOIR_KIND_U16, 3);
SAME(CHOIR_KIND_U32, 4);
SAME(CHOIR_KIND_U64, 5);
SAME(CHOIR_KIND_U8, 2);
SAME(CHOIR_KIND_UNIT, 17);
SAME(CHOIR_LOG_DEBUG, 3);
SAME(CHOIR_LOG_ERROR, 0);
SAME(CHOIR_LOG_INFO, 2);
SAME(CHOIR_LOG_WARNING, 1);
SAME(CHOIR_METADATA_BYTES, 1);
SAME(CHOIR_METADATA_STRING, 0);
SAME(CHOIR_METADATA_U64, 2);
SAME(CHOIR_METHOD_DYNAMIC, 4);
SAME(CHOIR_METHOD_IDEM, 1);
SAME(CHOIR_METHOD_NONE, 4294967295);
SAME(CHOIR_METHOD_PERSIST, 2);
SAME(CHOIR_METHOD_RAW, 8);
SAME(CHOIR_OUTCOME_CANCELLED, 4);
SAME(CHOIR_OUTCOME_CONNECTION_CLOSED, 5);
SAME(CHOIR_OUTCOME_INDETERMINATE, 8);
SAME(CHOIR_OUTCOME_INVALID_PAYLOAD, 3);
SAME(CHOIR_OUTCOME_OK, 0);
SAME(CHOIR_OUTCOME_SEND_FAILED, 7);
SAME(CHOIR_OUTCOME_SESSION_SHUTDOWN, 6);
SAME(CHOIR_OUTCOME_TIMED_OUT, 9);
SAME(CHOIR_OUTCOME_UNKNOWN_METHOD, 2);
SAME(CHOIR_OUTCOME_USER_ERROR, 1);
SAME(CHOIR_RAN_MAYBE, 1);
SAME(CHOIR_RAN_NO, 0);
SAME(CHOIR_RAN_YES, 2);
SAME(CHOIR_SERVICES_MAX, 16);
SAME(CHOIR_STATUS_RANGE, 10000);
SAME(CHOIR_STREAM_READ, 0);
SAME(CHOIR_STREAM_READABLE, 1);
SAME(CHOIR_STREAM_WRITABLE, 2);
SAME(CHOIR_STREAM_WRITE, 1);
SAME(CHOIR_TYPE_ABI, 1);
SAME(CHOIR_VARIANT_NEWTYPE, 1);
SAME(CHOIR_VARIANT_STRUCT, 3);
SAME(CHOIR_VARIANT_TUPLE, 2);
SAME(CHOIR_VARIANT_UNIT, 0);
SAME(CHOIR_VERDICT_PEND, 2);
SAME(CHOIR_VERDICT_REFUSE, 1);
SAME(CHOIR_VERDICT_RUN, 0);
SAME(CHOIR_WANTS_INPUT, 1);
SAME(CHOIR_ERR_ABI, -15);
SAME(CHOIR_ERR_ADDRESS, -19);
SAME(CHOIR_ERR_BLOCKED, -5);
SAME(CHOIR_ERR_BUSY, -4);
SAME(CHOIR_ERR_CANCELLED, -9);
SAME(CHOIR_ERR_CLOSED, -10);
SAME(CHOIR_ERR_CONNECT, -1017);
SAME(CHOIR_ERR_CONNECT_TIMEOUT, -1019);
SAME(CHOIR_ERR_DEPTH, -13);
SAME(CHOIR_ERR_FRAME_TIMEOUT, -1004);
SAME(CHOIR_ERR_FRAME_TOO_LARGE, -1003);
SAME(CHOIR_ERR_HANDSHAKE, -1007);
SAME(CHOIR_ERR_HANDSHAKE_TIMEOUT, -1009);
SAME(CHOIR_ERR_ID_EXHAUSTED, -8);
SAME(CHOIR_ERR_INVALID, -1);
SAME(CHOIR_ERR_IO, -22);
SAME(CHOIR_ERR_LAYOUT, -14);
SAME(CHOIR_ERR_LINK_LOST, -1012);
SAME(CHOIR_ERR_LISTEN, -21);
SAME(CHOIR_ERR_MALFORMED, -12);
SAME(CHOIR_ERR_NEWER_PEER, -1015);
SAME(CHOIR_ERR_NOT_FOUND, -3);
SAME(CHOIR_ERR_NO_MEMORY, -7);
SAME(CHOIR_ERR_OUT_OF_MEMORY, -1013);
SAME(CHOIR_ERR_PEER_CLOSED, -1016);
SAME(CHOIR_ERR_PEER_PROTOCOL, -1002);
SAME(CHOIR_ERR_PEER_UNRESPONSIVE, -1010);
SAME(CHOIR_ERR_PROLOGUE, -1005);
SAME(CHOIR_ERR_PROTOCOL, -1001);
SAME(CHOIR_ERR_RANDOM, -23);
SAME(CHOIR_ERR_REENTRANT, -18);
SAME(CHOIR_ERR_REFUSED, -1008);
SAME(CHOIR_ERR_REJECTED, -1006);
SAME(CHOIR_ERR_RESOLVE, -1018);
SAME(CHOIR_ERR_SHUTDOWN, -1014);
SAME(CHOIR_ERR_STATE, -2);
SAME(CHOIR_ERR_TIMED_OUT, -17);
SAME(CHOIR_ERR_TOO_LARGE, -6);
SAME(CHOIR_ERR_TRUNCATED, -11);
SAME(CHOIR_ERR_UNSUPPORTED, -16);
SAME(CHOIR_ERR_WRITE_STALLED, -1011);
SAME(CHOIR_OK, 0);

/* Declared again: another type is an error. */
CHOIR_API void choir_attachment_options_init_sized(choir_attachment_options *options, size_t size);
CHOIR_API int choir_attachment_new_initiator(choir_env *env, const choir_attachment_options *options,
                                             choir_session *session, choir_attachment **ret_attachment,
                                             choir_time now);
CHOIR_API int choir_attachment_new_acceptor(choir_env *env, const choir_attachment_options *options,
                                            choir_attachment **ret_attachment, choir_time now);
CHOIR_API void choir_attachment_free(choir_attachment *attachment, choir_time now);
CHOIR_API int choir_attachment_set_evidence(choir_attachment *attachment, const choir_evidence *evidence);
CHOIR_API int choir_attachment_receive(choir_attachment *attachment, const void *bytes, size_t len,
                                       choir_chunk *chunk, size_t *ret_used, choir_time now);
CHOIR_API void choir_attachment_closed(choir_attachment *attachment, int status, choir_str text,
                                       choir_time now);
CHOIR_API const choir_hello *choir_attachment_hello(choir_attachment *attachment);
CHOIR_API int choir_attachment_accept(choir_attachment *attachment, const choir_session_options *options,
                                      choir_session **ret_session, choir_time now);
CHOIR_API int choir_attachment_refuse(choir_attachment *attachment, const choir_reason *reason,
                                      choir_time now);
CHOIR_API choir_bytes choir_attachment_received(const choir_attachment *attachment);
CHOIR_API size_t choir_attachment_peek(choir_attachment *attachment, choir_iov *ret_iov, size_t max);
CHOIR_API int choir_attachment_consume(choir_attachment *attachment, size_t bytes, choir_time now);
CHOIR_API void choir_attachment_progress(choir_attachment *attachment, choir_time now);
CHOIR_API uint64_t choir_attachment_pending(const choir_attachment *attachment);
CHOIR_API uint32_t choir_attachment_interest(const choir_attachment *attachment);
CHOIR_API void choir_attachment_advance(choir_attachment *attachment, choir_time now);
CHOIR_API choir_time choir_attachment_deadline(const choir_attachment *attachment);
CHOIR_API int choir_attachment_status(const choir_attachment *attachment);
CHOIR_API choir_str choir_attachment_text(const choir_attachment *attachment);
CHOIR_API choir_session *choir_attachment_session(const choir_attachment *attachment);
CHOIR_API void *choir_attachment_user_data(const choir_attachment *attachment);
CHOIR_API int choir_chunk_new(const choir_allocator *allocator, size_t len, choir_chunk **ret_chunk);
CHOIR_API int choir_env_chunk_new(choir_env *env, size_t len, choir_chunk **ret_chunk);
CHOIR_API int choir_chunk_wrap(const choir_allocator *allocator, void *data, size_t len,
                               void (*free_fn)(void *ctx, void *data, size_t len), void *ctx,
                               choir_chunk **ret_chunk);
CHOIR_API choir_chunk *choir_chunk_retain(choir_chunk *chunk);
CHOIR_API void choir_chunk_release(choir_chunk *chunk);
CHOIR_API uint8_t *choir_chunk_data(choir_chunk *chunk);
CHOIR_API size_t choir_chunk_len(const choir_chunk *chunk);
CHOIR_API bool choir_chunk_is_unique(const choir_chunk *chunk);
CHOIR_API void choir_conn_options_init_sized(choir_conn_options *options, size_t size);
CHOIR_API const choir_service *choir_conn_service(const choir_session *session, choir_conn_id conn);
CHOIR_API uint32_t choir_conn_peer_requests(const choir_session *session, choir_conn_id conn);
CHOIR_API void *choir_conn_user_data(const choir_session *session, choir_conn_id conn);
CHOIR_API int choir_conn_set_user_data(choir_session *session, choir_conn_id conn, void *user_data);
CHOIR_API int choir_session_set_slot(choir_session *session, const choir_key *key, void *value,
                                     void (*destroy)(void *value));
CHOIR_API int choir_conn_set_slot(choir_session *session, choir_conn_id conn, const choir_key *key,
                                  void *value, void (*destroy)(void *value));
CHOIR_API int choir_request_set_slot(choir_session *session, choir_request_id request, const choir_key *key,
                                     void *value, void (*destroy)(void *value));
CHOIR_API void *choir_session_slot(const choir_session *session, const choir_key *key);
CHOIR_API void *choir_conn_slot(const choir_session *session, choir_conn_id conn, const choir_key *key);
CHOIR_API void *choir_request_slot(const choir_session *session, choir_request_id request,
                                   const choir_key *key);
CHOIR_API int choir_unit_from_schemas(choir_bytes schemas, choir_arena *arena, const choir_unit **ret_unit,
                                      uint32_t *ret_type, choir_str *ret_error);
CHOIR_API int choir_value_from_postcard(const choir_unit *unit, uint32_t type, choir_bytes postcard,
                                        choir_arena *arena, void *ret_value, choir_str *ret_error);
CHOIR_API int choir_value_to_postcard(const choir_unit *unit, uint32_t type, const void *value,
                                      choir_arena *arena, choir_bytes *ret_postcard);
CHOIR_API int choir_service_make(choir_env *env, choir_str service, choir_str method, const choir_unit *unit,
                                 uint32_t args, const choir_service **ret_service, char *ret_why,
                                 size_t why_size);
CHOIR_API int choir_service_free(choir_env *env, const choir_service *service);
CHOIR_API choir_view choir_view_of(const choir_unit *unit, uint32_t type, const void *value);
CHOIR_API uint32_t choir_view_kind(choir_view view);
CHOIR_API choir_str choir_view_name(choir_view view);
CHOIR_API choir_str choir_view_variant(choir_view view);
CHOIR_API size_t choir_view_len(choir_view view);
CHOIR_API choir_view choir_view_at(choir_view view, size_t i);
CHOIR_API choir_str choir_view_field_name(choir_view view, size_t i);
CHOIR_API choir_view choir_view_field(choir_view view, choir_str name);
CHOIR_API bool choir_view_bool(choir_view view, bool *ret);
CHOIR_API bool choir_view_u64(choir_view view, uint64_t *ret);
CHOIR_API bool choir_view_i64(choir_view view, int64_t *ret);
CHOIR_API bool choir_view_f64(choir_view view, double *ret);
CHOIR_API bool choir_view_char(choir_view view, uint32_t *ret);
CHOIR_API bool choir_view_str(choir_view view, choir_str *ret);
CHOIR_API bool choir_view_bytes(choir_view view, choir_bytes *ret);
CHOIR_API void choir_env_options_init_sized(choir_env_options *options, size_t size);
CHOIR_API int choir_env_new(const choir_env_options *options, choir_env **ret_env);
CHOIR_API void choir_env_free(choir_env *env);
CHOIR_API uint64_t choir_env_wall(const choir_env *env);
CHOIR_API uint64_t choir_env_memory(const choir_env *env);
CHOIR_API uint64_t choir_env_allocations(const choir_env *env);
CHOIR_API const char *choir_outcome_text(uint32_t outcome);
CHOIR_API bool choir_outcome_is_retryable(uint32_t outcome);
CHOIR_API bool choir_metadata_next(choir_metadata *list, choir_metadata_entry *ret_entry);
CHOIR_API bool choir_metadata_find(choir_metadata list, choir_str key, uint32_t type,
                                   choir_metadata_entry *ret_entry);
CHOIR_API void choir_loop_options_init_sized(choir_loop_options *options, size_t size);
CHOIR_API int choir_loop_new(const choir_loop_options *options, choir_loop **ret_loop);
CHOIR_API void choir_loop_free(choir_loop *loop);
CHOIR_API int choir_loop_run(choir_loop *loop);
CHOIR_API int choir_loop_turn(choir_loop *loop, choir_duration timeout);
CHOIR_API void choir_loop_stop(choir_loop *loop);
CHOIR_API int choir_loop_close(choir_loop *loop, choir_loop_closed_fn *done, void *ctx);
CHOIR_API choir_time choir_loop_now(choir_loop *loop);
CHOIR_API choir_env *choir_loop_env(choir_loop *loop);
CHOIR_API void choir_log_to_stderr(void *ctx, uint32_t level, const char *area, choir_str text);
CHOIR_API choir_session *choir_loop_session(choir_loop *loop, uint64_t session);
CHOIR_API int choir_loop_timer_new(choir_loop *loop, choir_loop_timer_fn *fn, void *ctx,
                                   choir_loop_timer **ret_timer);
CHOIR_API void choir_loop_timer_set(choir_loop_timer *timer, choir_time at);
CHOIR_API void choir_loop_timer_free(choir_loop_timer *timer);
CHOIR_API choir_poster *choir_loop_poster(choir_loop *loop);
CHOIR_API choir_poster *choir_poster_retain(choir_poster *poster);
CHOIR_API void choir_poster_release(choir_poster *poster);
CHOIR_API int choir_poster_post(choir_poster *poster, choir_post_fn *fn, void *ctx);
CHOIR_API const char *choir_address_scheme(const char *address);
CHOIR_API choir_session *choir_responder_session(choir_responder to);
CHOIR_API void choir_server_options_init_sized(choir_server_options *options, size_t size);
CHOIR_API void choir_server_options_serve(choir_server_options *options, const choir_service *service,
                                          choir_dispatch *dispatch, const void *dispatch_to, void *ctx);
CHOIR_API int choir_listen(choir_loop *loop, const char *url, const choir_server_options *options,
                           choir_server **ret_server);
CHOIR_API const char *choir_server_url(const choir_server *server);
CHOIR_API void choir_server_close(choir_server *server);
CHOIR_API void choir_server_free(choir_server *server);
CHOIR_API size_t choir_server_sessions(const choir_server *server);
CHOIR_API bool choir_server_is_done(const choir_server *server);
CHOIR_API int choir_server_adopt(choir_server *server, int fd, const char *scheme, const void *bytes,
                                 size_t len);
CHOIR_API int choir_server_adopt_stream(choir_server *server, choir_stream *stream, const void *bytes,
                                        size_t len);
CHOIR_API int choir_respond(choir_responder to, const void *value);
CHOIR_API int choir_respond_error(choir_responder to, const void *error);
CHOIR_API int choir_respond_invalid(choir_responder to, choir_str text);
CHOIR_API int choir_respond_drop(choir_responder to);
CHOIR_API void choir_client_options_init_sized(choir_client_options *options, size_t size);
CHOIR_API int choir_connect(choir_loop *loop, const char *url, const choir_client_options *options,
                            choir_client **ret_client);
CHOIR_API void choir_client_close(choir_client *client);
CHOIR_API void choir_client_free(choir_client *client);
CHOIR_API choir_session *choir_client_session(const choir_client *client);
CHOIR_API choir_conn_id choir_client_conn(const choir_client *client);
CHOIR_API int choir_client_call(choir_client *client, uint32_t method, const void *args,
                                const choir_call_options *options, choir_call_fn *done, void *ctx,
                                choir_call_id *ret_call);
CHOIR_API int choir_client_ping(choir_client *client, void (*done)(void *ctx, choir_duration round_trip),
                                void *ctx);
CHOIR_API int choir_client_wait_open(choir_client *client);
CHOIR_API int choir_client_wait_call(choir_client *client, uint32_t method, const void *args,
                                     choir_duration timeout, const choir_event **ret_done);
CHOIR_API const char *choir_explain(const choir_client *client, int status, const choir_event *done,
                                    char *buffer, size_t size);
CHOIR_API const char *choir_client_url(const choir_client *client);
CHOIR_API int choir_client_status(const choir_client *client);
CHOIR_API choir_str choir_client_text(const choir_client *client);
CHOIR_API choir_str choir_loop_error(const choir_loop *loop);
CHOIR_API void choir_call_options_init_sized(choir_call_options *options, size_t size);
CHOIR_API int choir_call(choir_session *session, choir_conn_id conn, uint32_t method, const void *args,
                         const choir_call_options *options, choir_call_id *ret_call, choir_time now);
CHOIR_API int choir_cancel(choir_session *session, choir_call_id call, const choir_reason *reason,
                           choir_time now);
CHOIR_API void choir_reply_options_init_sized(choir_reply_options *options, size_t size);
CHOIR_API int choir_reply(choir_session *session, choir_request_id request, const void *value,
                          const choir_reply_options *options, choir_time now);
CHOIR_API int choir_reply_error(choir_session *session, choir_request_id request, const void *error,
                                const choir_reply_options *options, choir_time now);
CHOIR_API int choir_reply_invalid(choir_session *session, choir_request_id request, choir_str text,
                                  choir_time now);
CHOIR_API int choir_reply_unknown(choir_session *session, choir_request_id request, choir_time now);
CHOIR_API int choir_request_drop(choir_session *session, choir_request_id request, const choir_reason *reason,
                                 choir_time now);
CHOIR_API int choir_request_decide(choir_session *session, choir_request_id request, int verdict,
                                   const choir_reason *reason, choir_time now);
CHOIR_API int choir_request_seal(choir_session *session, choir_request_id request, int verdict,
                                 choir_time now);
CHOIR_API int choir_request_set_user_data(choir_session *session, choir_request_id request, void *user_data);
CHOIR_API void *choir_request_alloc(choir_session *session, choir_request_id request, size_t size,
                                    size_t align);
CHOIR_API void choir_session_options_init_sized(choir_session_options *options, size_t size);
CHOIR_API int choir_service_check(choir_env *env, const choir_service *service, char *ret_why,
                                  size_t why_size);
CHOIR_API int choir_session_new(choir_env *env, const choir_session_options *options,
                                choir_session **ret_session, choir_time now);
CHOIR_API void choir_session_free(choir_session *session);
CHOIR_API void choir_session_close(choir_session *session, choir_time now);
CHOIR_API int choir_session_fail(choir_session *session, int status, choir_str text, choir_time now);
CHOIR_API const choir_event *choir_session_poll(choir_session *session);
CHOIR_API void choir_session_advance(choir_session *session, choir_time now);
CHOIR_API choir_time choir_session_deadline(const choir_session *session);
CHOIR_API int choir_session_ping(choir_session *session, choir_time now);
CHOIR_API bool choir_session_is_established(const choir_session *session);
CHOIR_API bool choir_session_is_closed(const choir_session *session);
CHOIR_API int choir_session_status(const choir_session *session);
CHOIR_API choir_str choir_session_text(const choir_session *session);
CHOIR_API choir_str choir_session_error(const choir_session *session);
CHOIR_API choir_conn_id choir_session_root(const choir_session *session);
CHOIR_API uint32_t choir_session_codec(const choir_session *session);
CHOIR_API const choir_evidence *choir_session_evidence(const choir_session *session);
CHOIR_API uint32_t choir_session_held_requests(const choir_session *session);
CHOIR_API void *choir_session_user_data(const choir_session *session);
CHOIR_API void choir_session_set_user_data(choir_session *session, void *user_data);
CHOIR_API void choir_session_observe(choir_session *session, choir_observer *observer);
CHOIR_API void choir_session_unobserve(choir_session *session, choir_observer *observer);
CHOIR_API bool choir_status_is_retryable(int status);
CHOIR_API const char *choir_status_name(int status);
CHOIR_API const char *choir_status_text(int status);
CHOIR_API int choir_service_find(const choir_service *service, choir_str name, uint32_t *ret_index);
CHOIR_API choir_str choir_service_name(const choir_service *service);
CHOIR_API choir_str choir_method_name(const choir_service *service, uint32_t index);
CHOIR_API int choir_arena_new(choir_env *env, size_t limit, choir_arena **ret_arena);
CHOIR_API void choir_arena_free(choir_arena *arena);
CHOIR_API void choir_arena_reset(choir_arena *arena);
CHOIR_API void *choir_arena_alloc(choir_arena *arena, size_t size, size_t align);
CHOIR_API int choir_value_from_json(const choir_unit *unit, uint32_t type, choir_str json, choir_arena *arena,
                                    void *ret_value, choir_str *ret_error);
CHOIR_API int choir_value_to_json(const choir_unit *unit, uint32_t type, const void *value,
                                  choir_arena *arena, choir_str *ret_json);
CHOIR_API int choir_value_equal(const choir_unit *unit, uint32_t type, const void *a, const void *b,
                                bool *ret_equal);
CHOIR_API int choir_value_copy(const choir_unit *unit, uint32_t type, const void *value, choir_arena *arena,
                               void *ret_value);
CHOIR_API int choir_value_clone(choir_env *env, const choir_unit *unit, uint32_t type, const void *value,
                                void **ret_value);
CHOIR_API void choir_value_free(choir_env *env, void *value);
CHOIR_API size_t choir_value_print(const choir_unit *unit, uint32_t type, const void *value, char *ret_text,
                                   size_t size);

/* And all of them are there. */
typedef void any(void);
extern any *const older_knows[];
any *const older_knows[] = {
    (any *)choir_attachment_options_init_sized,
    (any *)choir_attachment_new_initiator,
    (any *)choir_attachment_new_acceptor,
    (any *)choir_attachment_free,
    (any *)choir_attachment_set_evidence,
    (any *)choir_attachment_receive,
    (any *)choir_attachment_closed,
    (any *)choir_attachment_hello,
    (any *)choir_attachment_accept,
    (any *)choir_attachment_refuse,
    (any *)choir_attachment_received,
    (any *)choir_attachment_peek,
    (any *)choir_attachment_consume,
    (any *)choir_attachment_progress,
    (any *)choir_attachment_pending,
    (any *)choir_attachment_interest,
    (any *)choir_attachment_advance,
    (any *)choir_attachment_deadline,
    (any *)choir_attachment_status,
    (any *)choir_attachment_text,
    (any *)choir_attachment_session,
    (any *)choir_attachment_user_data,
    (any *)choir_chunk_new,
    (any *)choir_env_chunk_new,
    (any *)choir_chunk_wrap,
    (any *)choir_chunk_retain,
    (any *)choir_chunk_release,
    (any *)choir_chunk_data,
    (any *)choir_chunk_len,
    (any *)choir_chunk_is_unique,
    (any *)choir_conn_options_init_sized,
    (any *)choir_conn_service,
    (any *)choir_conn_peer_requests,
    (any *)choir_conn_user_data,
    (any *)choir_conn_set_user_data,
    (any *)choir_session_set_slot,
    (any *)choir_conn_set_slot,
    (any *)choir_request_set_slot,
    (any *)choir_session_slot,
    (any *)choir_conn_slot,
    (any *)choir_request_slot,
    (any *)choir_unit_from_schemas,
    (any *)choir_value_from_postcard,
    (any *)choir_value_to_postcard,
    (any *)choir_service_make,
    (any *)choir_service_free,
    (any *)choir_view_of,
    (any *)choir_view_kind,
    (any *)choir_view_name,
    (any *)choir_view_variant,
    (any *)choir_view_len,
    (any *)choir_view_at,
    (any *)choir_view_field_name,
    (any *)choir_view_field,
    (any *)choir_view_bool,
    (any *)choir_view_u64,
    (any *)choir_view_i64,
    (any *)choir_view_f64,
    (any *)choir_view_char,
    (any *)choir_view_str,
    (any *)choir_view_bytes,
    (any *)choir_env_options_init_sized,
    (any *)choir_env_new,
    (any *)choir_env_free,
    (any *)choir_env_wall,
    (any *)choir_env_memory,
    (any *)choir_env_allocations,
    (any *)choir_outcome_text,
    (any *)choir_outcome_is_retryable,
    (any *)choir_metadata_next,
    (any *)choir_metadata_find,
    (any *)choir_loop_options_init_sized,
    (any *)choir_loop_new,
    (any *)choir_loop_free,
    (any *)choir_loop_run,
    (any *)choir_loop_turn,
    (any *)choir_loop_stop,
    (any *)choir_loop_close,
    (any *)choir_loop_now,
    (any *)choir_loop_env,
    (any *)choir_log_to_stderr,
    (any *)choir_loop_session,
    (any *)choir_loop_timer_new,
    (any *)choir_loop_timer_set,
    (any *)choir_loop_timer_free,
    (any *)choir_loop_poster,
    (any *)choir_poster_retain,
    (any *)choir_poster_release,
    (any *)choir_poster_post,
    (any *)choir_address_scheme,
    (any *)choir_responder_session,
    (any *)choir_server_options_init_sized,
    (any *)choir_server_options_serve,
    (any *)choir_listen,
    (any *)choir_server_url,
    (any *)choir_server_close,
    (any *)choir_server_free,
    (any *)choir_server_sessions,
    (any *)choir_server_is_done,
    (any *)choir_server_adopt,
    (any *)choir_server_adopt_stream,
    (any *)choir_respond,
    (any *)choir_respond_error,
    (any *)choir_respond_invalid,
    (any *)choir_respond_drop,
    (any *)choir_client_options_init_sized,
    (any *)choir_connect,
    (any *)choir_client_close,
    (any *)choir_client_free,
    (any *)choir_client_session,
    (any *)choir_client_conn,
    (any *)choir_client_call,
    (any *)choir_client_ping,
    (any *)choir_client_wait_open,
    (any *)choir_client_wait_call,
    (any *)choir_explain,
    (any *)choir_client_url,
    (any *)choir_client_status,
    (any *)choir_client_text,
    (any *)choir_loop_error,
    (any *)choir_call_options_init_sized,
    (any *)choir_call,
    (any *)choir_cancel,
    (any *)choir_reply_options_init_sized,
    (any *)choir_reply,
    (any *)choir_reply_error,
    (any *)choir_reply_invalid,
    (any *)choir_reply_unknown,
    (any *)choir_request_drop,
    (any *)choir_request_decide,
    (any *)choir_request_seal,
    (any *)choir_request_set_user_data,
    (any *)choir_request_alloc,
    (any *)choir_session_options_init_sized,
    (any *)choir_service_check,
    (any *)choir_session_new,
    (any *)choir_session_free,
    (any *)choir_session_close,
    (any *)choir_session_fail,
    (any *)choir_session_poll,
    (any *)choir_session_advance,
    (any *)choir_session_deadline,
    (any *)choir_session_ping,
    (any *)choir_session_is_established,
    (any *)choir_session_is_closed,
    (any *)choir_session_status,
    (any *)choir_session_text,
    (any *)choir_session_error,
    (any *)choir_session_root,
    (any *)choir_session_codec,
    (any *)choir_session_evidence,
    (any *)choir_session_held_requests,
    (any *)choir_session_user_data,
    (any *)choir_session_set_user_data,
    (any *)choir_session_observe,
    (any *)choir_session_unobserve,
    (any *)choir_status_is_retryable,
    (any *)choir_status_name,
    (any *)choir_status_text,
    (any *)choir_service_find,
    (any *)choir_service_name,
    (any *)choir_method_name,
    (any *)choir_arena_new,
    (any *)choir_arena_free,
    (any *)choir_arena_reset,
    (any *)choir_arena_alloc,
    (any *)choir_value_from_json,
    (any *)choir_value_to_json,
    (any *)choir_value_equal,
    (any *)choir_value_copy,
    (any *)choir_value_clone,
    (any *)choir_value_free,
    (any *)choir_value_print,
};
int main(void) {
    for (size_t i = 0; i < sizeof older_knows / sizeof *older_knows; i++)
        if (!older_knows[i]) return 1;
    return 0;
}
