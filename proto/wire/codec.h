/*
 * codec: JSON bytes to message structs and back.
 *
 * Decoding is strict in two steps: json_strict.h refuses everything that RFC 8259 or PROTOCOL.md does not allow (and
 * json-c would let pass), then json-c parses the members that the message has, then each one's type and bounds are
 * checked (fields.h, the only place that knows json-c). A decoder is reused from message to message; the texts it
 * hands out live until its next call. A decoder takes 40 to 80 KiB, whatever it is sent.
 *
 * On failure the decoder holds one sentence that names the field, the value's fault and the rule.
 */
#ifndef HB_WIRE_CODEC_H
#define HB_WIRE_CODEC_H

#include "proto/wire/message.h"

struct hb_decoder;

struct hb_decoder *hb_decoder_new(void); /* NULL when out of memory; hb_decoder_free frees it */
void hb_decoder_free(struct hb_decoder *decoder);
const char *hb_decoder_error(const struct hb_decoder *decoder); /* of the last failed call; valid until the next call */

/*
 * HB_ERR_SYNTAX: not JSON, too deep, duplicate key (HTTP 400). HB_ERR_SHAPE: a field is missing, of the wrong type or
 * out of bounds (422). HB_ERR_NO_MEMORY (503). ret_* is untouched on failure. Empty text is HB_ERR_SYNTAX, for beats
 * too: where a beat may be empty, the caller knows it.
 */
enum hb_err hb_decode_registration(struct hb_decoder *decoder, struct hb_text json,
                                   struct hb_registration *ret_registration) HB_MUST_CHECK;
enum hb_err hb_decode_beat(struct hb_decoder *decoder, struct hb_text json, struct hb_beat *ret_beat) HB_MUST_CHECK;
/* Absent ttl: HB_MAINTENANCE_MAX_MS. Empty text is HB_ERR_SYNTAX here too. */
enum hb_err hb_decode_maintenance(struct hb_decoder *decoder, struct hb_text json,
                                  struct hb_maintenance *ret_maintenance) HB_MUST_CHECK;
/*
 * A row of ours, or of the small Python project's shape (no `serving`: ret_seed_shape true; alive and connected mean
 * serving and announced up, registered announced none, the rest announced down). HB_ERR_SHAPE or HB_ERR_SYNTAX for
 * anything else: a foreign field, to be left alone.
 */
enum hb_err hb_decode_row(struct hb_decoder *decoder, struct hb_text json, struct hb_row *ret_row,
                          bool *ret_seed_shape) HB_MUST_CHECK;
/*
 * The answer of POST /register, as a worker reads it: timeout_ms, 0 when the manager did not say.
 */
enum hb_err hb_decode_register_answer(struct hb_decoder *decoder, struct hb_text json,
                                      int64_t *ret_timeout_ms) HB_MUST_CHECK;

/* Encoders append to a buffer whose status tells of failure. They are written by hand: rows are on the hot path. */
void hb_encode_row(struct hb_buf *buf, const struct hb_row *row);
void hb_encode_event(struct hb_buf *buf, const struct hb_event *event);
void hb_encode_registration(struct hb_buf *buf, const struct hb_registration *registration);
void hb_encode_register_answer(struct hb_buf *buf, struct hb_text id, int64_t timeout_ms, bool persisted);
void hb_encode_error(struct hb_buf *buf, const char *sentence); /* {"status":"error","error":…} */

#endif
