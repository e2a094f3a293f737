/** What the simulated world is busy with. */
export { BankWorkload } from './bank-workload.ts'
