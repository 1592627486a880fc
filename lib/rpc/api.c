/* SPDX-License-Identifier: MIT */
/* Where sessions get their driver: the public constructors. They are here and not in lib/session because that
 * layer does not know of calls. */
#include "base/log.h"
#include "base/options.h"
#include "rpc/driver.h"
#include "session/attachment.h"

int choir_service_check(choir_env *env, const choir_service *service, char *ret_why, size_t why_size) {
    const choiri_prepared *prepared;
    choiri_text text;
    choiri_text_init(&text);
    int status = env && service ? choiri_prepare(env, service, &prepared, &text) : CHOIR_ERR_INVALID;
    if (status != CHOIR_OK && ret_why && why_size > 0) {
        size_t len = text.len < why_size - 1 ? text.len : why_size - 1;
        memcpy(ret_why, text.data, len);
        ret_why[len] = 0;
    }
    return status;
}

int choiri_prepare_logged(choir_env *env, const choir_service *desc, const choiri_prepared **ret) {
    choiri_text text;
    choiri_text_init(&text);
    *ret = NULL;
    if (!desc) return CHOIR_OK;
    int status = choiri_prepare(env, desc, ret, &text);
    if (status != CHOIR_OK && text.len > 0) choiri_log(env, CHOIR_LOG_ERROR, "service", &text);
    return status;
}

/* An answer cannot be written by a type that only its reader knows. */
static int check_served(choir_env *env, const choiri_prepared *service) {
    for (uint32_t i = 0; service && i < service->methods_len; i++) {
        if (!(service->methods[i].desc->flags & CHOIR_METHOD_DYNAMIC)) continue;
        choiri_text text;
        choiri_text_init(&text);
        choiri_method_text(service, i, &text);
        choiri_text_add(&text, " is dynamic and can only be called");
        choiri_log(env, CHOIR_LOG_ERROR, "service", &text);
        return CHOIR_ERR_INVALID;
    }
    return CHOIR_OK;
}

/* What a connection with these options is made of. */
static int prepare(choir_env *env, const choir_conn_options *o, choiri_conn_init *ret) {
    memset(ret, 0, sizeof *ret); /* padding too: profiles are compared as bytes */
    ret->like.driver = &choiri_rpc_driver;
    ret->like.destroy = o->destroy;
    ret->like.limits = choiri_limits_of(o);
    ret->user_data = o->user_data;
    ret->metadata = o->metadata;
    ret->metadata_len = o->metadata_len;
    choir_hooks *hooks = &ret->like.hooks;
    if (o->hooks && choiri_options_copy(hooks, sizeof *hooks, o->hooks) != CHOIR_OK) return CHOIR_ERR_INVALID;
    int status = choiri_prepare_logged(env, o->serve, &ret->like.serve);
    if (status == CHOIR_OK) status = check_served(env, ret->like.serve);
    if (status == CHOIR_OK) status = choiri_prepare_logged(env, o->call, &ret->like.call);
    return status;
}

int choir_session_new(choir_env *env, const choir_session_options *options, choir_session **ret_session,
                      choir_time now) {
    choir_session_options o;
    choir_conn_options root;
    choiri_conn_init init;
    if (!env || !ret_session || choiri_session_options_check(options, &o, &root) != CHOIR_OK)
        return CHOIR_ERR_INVALID;
    const choiri_codec *codec = choiri_codec_of(o.codec);
    if (!codec) return CHOIR_ERR_UNSUPPORTED;
    int status = prepare(env, &root, &init);
    if (status != CHOIR_OK) return status;
    init.parity = CHOIRI_PARITY_ODD;
    status = choiri_session_make(env, &o, &init, &choiri_rpc_upper, true, codec, ret_session, now);
    if (status == CHOIR_OK) (*ret_session)->given = true;
    return status;
}

int choir_attachment_accept(choir_attachment *attachment, const choir_session_options *options,
                            choir_session **ret_session, choir_time now) {
    choir_session_options o;
    choir_conn_options root;
    choiri_conn_init init;
    if (!attachment || !ret_session || choiri_session_options_check(options, &o, &root) != CHOIR_OK)
        return CHOIR_ERR_INVALID;
    const choir_hello *hello = choir_attachment_hello(attachment);
    if (!hello) return CHOIR_ERR_STATE;
    /* Taking a key would promise that calls are not run twice, which needs an operation table. */
    if (hello->resume_key_len > 0) return CHOIR_ERR_UNSUPPORTED;
    int status = prepare(attachment->env, &root, &init);
    if (status != CHOIR_OK) return status;
    init.parity = hello->parity == 1 ? CHOIRI_PARITY_EVEN : CHOIRI_PARITY_ODD;
    choir_session *s;
    status =
        choiri_session_make(attachment->env, &o, &init, &choiri_rpc_upper, false, attachment->codec, &s, now);
    if (status != CHOIR_OK) return status;
    status = choiri_greeting_accept(attachment, s, now);
    if (status != CHOIR_OK) {
        choir_session_free(s); /* it was never the host's */
        return status;
    }
    s->given = true;
    *ret_session = s;
    return CHOIR_OK;
}
