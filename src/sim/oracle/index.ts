/** The oracle: checks the promises of DESIGN §2 against everything that clients heard and databases did. */
export type { GivenAnswer, Heard } from './answers.ts'
export type { Ended } from './branches.ts'
export type { Checker } from './checker.ts'
export type { Attempt, FoundAccount, FoundEffect, FoundState, IntendedEffect } from './effects.ts'
export { Oracle } from './oracle.ts'
export type { GivenVote } from './votes.ts'
