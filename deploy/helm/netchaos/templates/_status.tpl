{{- /* status: the leader writes all of it but netchaos.nodes, where each agent has a key of its own. */ -}}

{{- define "netchaos.status" -}}
type: object
description: What has become of it.
properties:
  conditions:
    type: array
    description: Selected, AllInjected, AllRecovered and Paused.
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [type]
    items:
      type: object
      required: [type, status]
      properties:
        type: {type: string}
        status: {type: string}
        reason: {type: string}
        message: {type: string}
        lastTransitionTime: {type: string, format: date-time}
  experiment:
    type: object
    description: As in Chaos Mesh.
    properties:
      desiredPhase: {type: string, description: Run or Stop.}
      containerRecords:
        type: array
        description: The pods that were chosen.
        items:
          type: object
          required: [id, selectorKey, phase]
          properties:
            id: {type: string, description: Namespace and name of the pod.}
            selectorKey: {type: string, description: 'Chosen by selector ("."), or by the selector of target (".Target").'}
            phase: {type: string, description: Injected or Not Injected.}
            injectedCount: {type: integer, format: int64}
            recoveredCount: {type: integer, format: int64}
            events:
              type: array
              items:
                type: object
                properties:
                  type: {type: string, description: Succeeded or Failed.}
                  operation: {type: string, description: Apply or Recover.}
                  message: {type: string}
                  timestamp: {type: string, format: date-time}
  netchaos:
    type: object
    description: What Chaos Mesh has no place for.
    properties:
      state: {type: string, description: 'One word: Waiting, Injecting, Injected, Partly, Failed, Paused, Ended, Recovering or Refused.'}
      injected: {type: string, description: 'Pods that have the fault / pods that shall have it.'}
      message: {type: string, description: Why not.}
      targets:
        type: array
        description: Whom it is aimed at now.
        items: {type: string}
      chosen:
        type: array
        description: Selections of which some pods were chosen, once and for all.
        items: {type: string}
      nodes:
        type: object
        description: What the agent of each node did.
        additionalProperties:
          type: object
          properties:
            pods:
              type: object
              description: By namespace and name.
              additionalProperties:
                type: object
                properties:
                  uid: {type: string}
                  injected: {type: boolean}
                  message: {type: string, description: Why not.}
                  since: {type: string, format: date-time}
{{- end }}
