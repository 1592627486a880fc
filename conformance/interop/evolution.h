/* SPDX-License-Identifier: MIT */
/* The six methods of which there are two versions, called as either of them. What comes of it depends on who
 * the peer is: outcomes are printed, not judged. */
#ifndef CHOIR_INTEROP_EVOLUTION_H
#define CHOIR_INTEROP_EVOLUTION_H

void call_as_v1(void);
void call_as_evolved(void);

#endif
