/*
 * address_rules: which addresses may be polled.
 *
 * Whoever may register may name a url, so a url must not reach what only this machine may ask: metadata services of
 * clouds, link-local neighbours, and the Redis that holds the truth. The address is judged that a connection is about
 * to be made to, after the name was resolved; so neither a name that resolves to something else the second time (DNS
 * rebinding) nor an odd spelling (0x7f.1, 2130706433, [::ffff:169.254.169.254]) gets past it.
 *
 *   never       0.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255, ::, fe80::/10, ff00::/8, 64:ff9b:1::/48,
 *               the metadata services that have another address than these, and the forbidden endpoints, whatever is
 *               allowed
 *   then        those within POLL_ALLOW_CIDRS; without it all, loopback and private ones too, where services are
 *
 * IPv4 within IPv6 (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) is never polled where its IPv4 is not.
 * But a range of IPv4 allows only IPv4 itself and its mapped form, which is the same connection.
 */
#ifndef HB_APP_ADDRESS_RULES_H
#define HB_APP_ADDRESS_RULES_H

#include <stdbool.h>

#include "proto/base/err.h"

#define HB_FORBIDDEN_MAX 64 /* endpoints; more addresses of one name, or of this machine, are left out */

struct sockaddr;
struct hb_address_rules;

/* allow: entries that hb_cidr_parse takes, separated by commas; NULL or empty: everything. NULL when out of memory, or
 * when there is an entry that it does not take, or none in a list that is not empty. */
struct hb_address_rules *hb_address_rules_new(const char *allow);
void hb_address_rules_free(struct hb_address_rules *rules); /* accepts NULL */

/* The endpoints, address and port, that are never polled: forget those before, then add. One on a loopback address
 * stands for all loopback addresses with that port. */
void hb_address_rules_forget(struct hb_address_rules *rules);
void hb_address_rules_forbid(struct hb_address_rules *rules, const struct sockaddr *endpoint);
/* An address of this machine, its port ignored: forbidden with each port that is forbidden on loopback. */
void hb_address_rules_forbid_own(struct hb_address_rules *rules, const struct sockaddr *address);

/* Anything that is neither IPv4 nor IPv6 may not. */
bool hb_address_rules_may_poll(const struct hb_address_rules *rules, const struct sockaddr *endpoint);

#endif
