/* SPDX-License-Identifier: MIT */
#ifndef CHOIRI_NET_CLIENT_H
#define CHOIRI_NET_CLIENT_H

#include "session.h"

choir_loop *choiri_net_client_loop(const choir_client *client);
/* Options of an attachment, as the session's client wants them. */
const choir_attachment_options *choiri_net_client_attachment(const net_session *session);

#endif
