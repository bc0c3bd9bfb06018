/* SPDX-License-Identifier: MIT */
/*
 * Which state one end of a xenbus device may follow with which. Xen documents the states
 * (io/xenbus.h), not the transitions: these are the ones Linux's netfront, netback, blkfront and
 * blkback make, without the ones only a bug makes. A NULL in the tables is allowed; anything else
 * is the reason it is not.
 */
#include <errno.h>
#include <stddef.h>

#include "nf/device.h"

#define STATES 9
#define OK NULL

static const char NEVER_UNKNOWN[] = "Unknown is what a reader sees, nobody writes it";
static const char PCI_ONLY[] = "net and block devices do not reconfigure while connected";
static const char BACK_OFFERS[] = "InitWait is the back's: it says that the features are written";
static const char FRONT_PUBLISHES[] =
	"Initialised is the front's: it says that the rings are written";
static const char OFFER_FIRST[] = "the back writes what it offers and waits in InitWait first";
static const char CLOSE_FIRST[] = "the other end holds rings and grants until it saw Closing";
static const char NO_WAY_BACK[] = "a device that gave up goes through Closing and Closed";
static const char ONLY_CLOSED[] = "a device that is Closing can only be Closed";
static const char CLOSED_ALREADY[] = "a Closed device has nothing left to close";
static const char START_OVER[] = "a Closed device starts over, it does not resume";

/* [from][to]; the diagonal is a no-op and never looked at */
static const char *const front_table[STATES][STATES] = {
	[0] = {OK, OK, BACK_OFFERS, START_OVER, START_OVER, OK, OK, PCI_ONLY, PCI_ONLY},
	[1] = {NEVER_UNKNOWN, OK, BACK_OFFERS, OK, OK, OK, OK, PCI_ONLY, PCI_ONLY},
	[2] = {NEVER_UNKNOWN, NO_WAY_BACK, OK, NO_WAY_BACK, NO_WAY_BACK, OK, OK, PCI_ONLY,
	       PCI_ONLY},
	[3] = {NEVER_UNKNOWN, NO_WAY_BACK, BACK_OFFERS, OK, OK, OK, CLOSE_FIRST, PCI_ONLY,
	       PCI_ONLY},
	[4] = {NEVER_UNKNOWN, CLOSE_FIRST, BACK_OFFERS, CLOSE_FIRST, OK, OK, CLOSE_FIRST, PCI_ONLY,
	       PCI_ONLY},
	[5] = {NEVER_UNKNOWN, ONLY_CLOSED, BACK_OFFERS, ONLY_CLOSED, ONLY_CLOSED, OK, OK, PCI_ONLY,
	       PCI_ONLY},
	[6] = {NEVER_UNKNOWN, OK, BACK_OFFERS, START_OVER, START_OVER, CLOSED_ALREADY, OK, PCI_ONLY,
	       PCI_ONLY},
	[7] = {NEVER_UNKNOWN, PCI_ONLY, BACK_OFFERS, PCI_ONLY, PCI_ONLY, OK, CLOSE_FIRST, OK,
	       PCI_ONLY},
	[8] = {NEVER_UNKNOWN, PCI_ONLY, BACK_OFFERS, PCI_ONLY, PCI_ONLY, OK, CLOSE_FIRST, PCI_ONLY,
	       OK},
};

static const char *const back_table[STATES][STATES] = {
	[0] = {OK, OK, OK, FRONT_PUBLISHES, OFFER_FIRST, OK, OK, PCI_ONLY, PCI_ONLY},
	[1] = {NEVER_UNKNOWN, OK, OK, FRONT_PUBLISHES, OFFER_FIRST, OK, OK, PCI_ONLY, PCI_ONLY},
	[2] = {NEVER_UNKNOWN, NO_WAY_BACK, OK, FRONT_PUBLISHES, OK, OK, OK, PCI_ONLY, PCI_ONLY},
	[3] = {NEVER_UNKNOWN, NO_WAY_BACK, NO_WAY_BACK, OK, OFFER_FIRST, OK, OK, PCI_ONLY,
	       PCI_ONLY},
	[4] = {NEVER_UNKNOWN, CLOSE_FIRST, CLOSE_FIRST, FRONT_PUBLISHES, OK, OK, CLOSE_FIRST,
	       PCI_ONLY, PCI_ONLY},
	[5] = {NEVER_UNKNOWN, ONLY_CLOSED, ONLY_CLOSED, FRONT_PUBLISHES, ONLY_CLOSED, OK, OK,
	       PCI_ONLY, PCI_ONLY},
	[6] = {NEVER_UNKNOWN, OK, OK, FRONT_PUBLISHES, START_OVER, CLOSED_ALREADY, OK, PCI_ONLY,
	       PCI_ONLY},
	[7] = {NEVER_UNKNOWN, PCI_ONLY, PCI_ONLY, FRONT_PUBLISHES, PCI_ONLY, OK, CLOSE_FIRST, OK,
	       PCI_ONLY},
	[8] = {NEVER_UNKNOWN, PCI_ONLY, PCI_ONLY, FRONT_PUBLISHES, PCI_ONLY, OK, CLOSE_FIRST,
	       PCI_ONLY, OK},
};

int nf_xenbus_transition(bool is_back, enum nf_xenbus_state from, enum nf_xenbus_state to,
			 const char **why)
{
	const char *reason = "there is no such state";

	if ((unsigned int)from < STATES && (unsigned int)to < STATES)
		reason = from == to && to != NF_XENBUS_UNKNOWN ? NULL
			 : to == NF_XENBUS_UNKNOWN	       ? NEVER_UNKNOWN
			 : is_back			       ? back_table[from][to]
							       : front_table[from][to];
	if (why)
		*why = reason ? reason : "allowed";
	return reason ? -EINVAL : 0;
}

const char *nf_xenbus_state_name(enum nf_xenbus_state s)
{
	static const char *const names[STATES] = {
		"Unknown", "Initialising", "InitWait",	    "Initialised",  "Connected",
		"Closing", "Closed",	   "Reconfiguring", "Reconfigured",
	};

	return (unsigned int)s < STATES ? names[s] : "invalid";
}
