#include "proto/gossip.h"
