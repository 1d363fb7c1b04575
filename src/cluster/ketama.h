/*
 * ketama.h - the rings of libmemcached, point for point.
 */
#pragma once
