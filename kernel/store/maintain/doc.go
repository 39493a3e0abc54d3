// Package maintain keeps the embedded database in working order by itself: it
// gives back the space of what was deleted, and gets a database that has
// reached its quota to take writes again as soon as there is room to be had.
// It also answers operators: how full the database is, reclaim now, a snapshot.
//
// It decides from sizes alone and writes no object. All of it may be used
// concurrently. Begin at Keeper.Run.
// RATIONALE.md: "Why is a large database not defragmented by itself?"
package maintain
