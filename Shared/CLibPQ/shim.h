#include <libpq-fe.h>
#ifdef __linux__
// The C library's Swift module leaves these out.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif
