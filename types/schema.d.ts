/**
 * A validator that follows the Standard Schema specification (https://standardschema.dev): zod 3.24 and later, zod 4,
 * valibot, arktype and others. Validation may be synchronous or asynchronous.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] }

export interface StandardSchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** The entity that a schema describes: `type User = EntityOf<typeof userSchema>`. */
export type EntityOf<Schema extends StandardSchemaV1> = NonNullable<Schema['~standard']['types']>['output']

/** The input type of a schema, if defaults or transforms make it differ: `type UserInput = InputOf<typeof userSchema>`. */
export type InputOf<Schema extends StandardSchemaV1> = NonNullable<Schema['~standard']['types']>['input']
