/** Looks for what is wrong with a fleet and its databases, and says what to do. */
export { type Diagnosis, type DoctorOptions, diagnose } from './doctor.ts'
export type { Finding, Level } from './finding.ts'
