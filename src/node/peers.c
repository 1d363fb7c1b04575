#include "node/peers.h"
