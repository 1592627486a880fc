/* SPDX-License-Identifier: MIT */
/* Where sessions get their driver: the public constructors. They are here and not in lib/session because that layer
 * does not know of calls. */
#include "rpc/driver.h"

int choir_service_check(choir_env *env, const choir_service *service, char *ret_why, size_t why_size) {
    const choiri_service *prepared;
    choiri_text text;
    choiri_text_init(&text);
    int status = env && service ? choiri_service_prepare(env, service, &prepared, &text) : CHOIR_ERR_INVALID;
    if (status != CHOIR_OK && ret_why && why_size > 0) {
        size_t len = text.len < why_size - 1 ? text.len : why_size - 1;
        memcpy(ret_why, text.data, len);
        ret_why[len] = 0;
    }
    return status;
}

const choir_service *choir_session_service(const choir_session *session) {
    return session && session->root->call ? session->root->call->desc : NULL;
}

int choir_session_new(choir_env *env, const choir_session_options *options, choir_session **ret_session,
                      choir_time now) {
    choir_session_options o;
    if (!env || !ret_session || choiri_session_options_check(options, &o) != CHOIR_OK)
        return CHOIR_ERR_INVALID;
    if (!choiri_codec_of(o.codec)) return CHOIR_ERR_UNSUPPORTED;
    return choiri_session_new(env, &o, &choiri_rpc_driver, true, ret_session, now);
}

int choir_attachment_accept(choir_attachment *attachment, const choir_session_options *options,
                            choir_session **ret_session, choir_time now) {
    choir_session_options o;
    if (!attachment || !ret_session || choiri_session_options_check(options, &o) != CHOIR_OK)
        return CHOIR_ERR_INVALID;
    const choir_hello *hello = choir_attachment_hello(attachment);
    if (!hello) return CHOIR_ERR_STATE;
    /* Taking a key would promise that calls are not run twice, which needs an operation table. */
    if (hello->resume_key_len > 0) return CHOIR_ERR_UNSUPPORTED;
    choir_session *s;
    int status = choiri_session_new(attachment->env, &o, &choiri_rpc_driver, false, &s, now);
    if (status != CHOIR_OK) return status;
    status = choiri_attachment_accept(attachment, s, now);
    if (status != CHOIR_OK) {
        s->destroy = NULL; /* it was never the host's */
        choir_session_free(s);
        return status;
    }
    *ret_session = s;
    return CHOIR_OK;
}
