package jobfile

// class says what becomes of a key of a Compose file.
type class int

const (
	// refused keys are errors: they reach for the machine, or promise what a run can't give.
	refused class = iota
	// taken keys are carried out, limits within what a run may have.
	taken
	// noted keys are accepted without effect, and the console says so.
	noted
	// silent keys are accepted without effect, and nobody misses it.
	silent
)

// rule is what is known of one key. why completes a sentence: after a refused
// key what it would do, after a noted one what happens instead; of a taken one
// it says, for people, what bounds it.
type rule struct {
	class class
	why   string
	// in is the shape of the key's value, for keys whose value has keys of its own.
	in *shape
	// flag: the value is true or false.
	flag bool
}

type rules map[string]rule

// shape is where keys are found in a value. A value that has none, a text or a
// number, has any shape.
type shape struct {
	keys rules  // of a mapping
	each *shape // of every item of a list, and every value of a mapping without keys
}

// Reasons that several keys share.
const (
	reachesHost = "reaches for the machine that runs the job"
	wantsDevice = "reaches for devices of the machine that runs the job"
	runsOnce    = "a service runs once, for as long as its run"
	ownNetwork  = "all services of a run share its own private network"
	noTuning    = "tunes the machine's kernel for one container; the run's limits decide"
	noLabels    = "the run's own labels are on its containers"
)

// serviceRules has every key of a service in Compose's schema.
// TestEveryComposeKey fails on one that is not here, and a key that is not here
// is refused as unknown.
var serviceRules = rules{
	"annotations":         {class: silent, why: noLabels},
	"attach":              {class: silent, why: "the output of services is a result of the run"},
	"blkio_config":        {why: "weighs the disks of the machine that runs the job"},
	"build":               {class: taken, why: "the context is a folder of the repository", in: &shape{keys: buildRules}},
	"cap_add":             {why: "gives powers over the machine that runs the job"},
	"cap_drop":            {class: taken},
	"cgroup":              {why: reachesHost},
	"cgroup_parent":       {why: "leaves the limits of the run"},
	"command":             {class: taken},
	"configs":             {why: "mounts files of the machine; put them into an image with `build`"},
	"container_name":      {class: taken, why: "a further name on the run's network; the container itself has a name of the run's"},
	"cpu_count":           {class: noted, why: "is for Windows; `cpus` limits cores"},
	"cpu_percent":         {class: noted, why: "is for Windows; `cpus` limits cores"},
	"cpu_period":          {class: taken, why: "together with `cpu_quota`, as cores"},
	"cpu_quota":           {class: taken, why: "as cores"},
	"cpu_rt_period":       {why: noTuning},
	"cpu_rt_runtime":      {why: noTuning},
	"cpu_shares":          {class: noted, why: "every container gets its share; `cpus` limits cores"},
	"cpus":                {class: taken, why: "within the run's quota"},
	"cpuset":              {why: "picks cores of the machine that runs the job; use `cpus`"},
	"credential_spec":     {why: "reads credentials of the machine that runs the job"},
	"depends_on":          {class: taken, in: &shape{each: &shape{keys: dependsRules}}},
	"deploy":              {class: taken, why: "its limits; the rest is for swarms", in: &shape{keys: deployRules}},
	"develop":             {class: noted, why: "nothing is watched in a run"},
	"device_cgroup_rules": {why: wantsDevice},
	"devices":             {why: wantsDevice},
	"dns":                 {why: "changes how names are found; services find each other by name on the run's own network"},
	"dns_opt":             {why: "changes how names are found; services find each other by name on the run's own network"},
	"dns_search":          {why: "changes how names are found; services find each other by name on the run's own network"},
	"domainname":          {class: noted, why: "services are found by their names"},
	"entrypoint":          {class: taken},
	"env_file":            {class: taken, why: "a file of the repository", in: &shape{each: &shape{keys: envFileRules}}},
	"environment":         {class: taken, in: &shape{}},
	"expose":              {class: taken, why: "a single one says when the service is up, if there are no `ports`; never published", in: &shape{}},
	"extends":             {class: taken, why: "a service of the same file", in: &shape{keys: extendsRules}},
	"external_links":      {why: "reaches containers outside of the run"},
	"extra_hosts":         {why: "points names at addresses outside of the run, `host-gateway` at the machine itself; name services with `networks` and `aliases`"},
	"gpus":                {why: wantsDevice},
	"group_add":           {why: "adds groups that mean something on the machine only; make them in the image"},
	"healthcheck":         {class: taken, in: &shape{keys: healthRules}},
	"hostname":            {class: taken},
	"image":               {class: taken},
	"init":                {class: taken, flag: true},
	"ipc":                 {why: "shares memory with the machine or another container; `shm_size` makes the service's own larger"},
	"isolation":           {why: "changes what keeps the container apart"},
	"label_file":          {class: silent, why: noLabels},
	"labels":              {class: silent, why: noLabels},
	"links":               {class: taken, why: "a dependency, and a further name of the other service"},
	"logging":             {class: noted, why: "the output of services is a result of the run"},
	"mac_address":         {why: "sets an address of the network's; services find each other by name"},
	"mem_limit":           {class: taken, why: "within the run's quota"},
	"mem_reservation":     {class: noted, why: "`mem_limit` limits memory"},
	"mem_swappiness":      {why: noTuning},
	"memswap_limit":       {class: noted, why: "a run has no swap"},
	"models":              {why: "asks for a model that this system does not run"},
	"network_mode":        {why: "leaves the run's own network, for the machine's or another container's"},
	"networks":            {class: taken, why: "aliases; " + ownNetwork, in: &shape{each: &shape{keys: serviceNetworkRules}}},
	"oom_kill_disable":    {why: noTuning},
	"oom_score_adj":       {why: noTuning},
	"pid":                 {why: "shows processes of the machine or another container"},
	"pids_limit":          {class: taken, why: "within the run's quota"},
	"platform":            {class: noted, why: "images are taken for the agent's own platform"},
	"ports":               {class: taken, why: "they say when the service is up; never published", in: &shape{each: &shape{keys: portRules}}},
	"post_start":          {why: "runs commands beside the service; put them into its command, or a service of their own"},
	"pre_start":           {why: "runs containers before the service; make them services with `depends_on`"},
	"pre_stop":            {why: "runs commands beside the service; services are stopped with their run"},
	"privileged":          {why: "hands the machine that runs the job to the container"},
	"profiles":            {class: taken, why: "services with profiles are left out unless they are named or needed", in: &shape{}},
	"provider":            {why: "runs a program of the machine that runs the job"},
	"pull_policy":         {class: noted, why: "the agent decides when images are pulled"},
	"pull_refresh_after":  {class: noted, why: "the agent decides when images are pulled"},
	"read_only":           {class: taken, flag: true},
	"restart":             {class: noted, why: runsOnce},
	"runtime":             {why: "changes what keeps the container apart"},
	"scale":               {class: noted, why: "one container of each service is started"},
	"secrets":             {why: "mounts files of the machine; give the service a test value in `environment`"},
	"security_opt":        {why: "changes what keeps the container apart"},
	"shm_size":            {class: taken, why: "within the run's memory"},
	"stdin_open":          {class: silent, why: "a service has no input"},
	"stop_grace_period":   {class: taken, why: "at most 30 seconds"},
	"stop_signal":         {class: taken},
	"storage_opt":         {why: "sets the size of the container's disk; the run's limits decide"},
	"sysctls":             {why: noTuning},
	"tmpfs":               {class: taken, why: "within the run's memory", in: &shape{}},
	"tty":                 {class: silent, why: "the output of services is text"},
	"ulimits":             {class: taken, why: "open files up to 1048576", in: &shape{each: &shape{keys: ulimitRules}}},
	"umask":               {class: noted, why: "the image's own is used"},
	"use_api_socket":      {why: "hands the container engine to the container"},
	"user":                {class: taken},
	"userns_mode":         {why: "changes what keeps the container apart"},
	"uts":                 {why: "changes the name of the machine that runs the job"},
	"volumes":             {class: taken, why: "volumes of the run's own; never folders of the machine", in: &shape{each: &shape{keys: mountRules}}},
	"volumes_from":        {why: "takes what other containers mount; name a volume in both services"},
	"working_dir":         {class: taken},
}

var buildRules = rules{
	"additional_contexts": {why: "takes files from outside of the context"},
	"args":                {class: taken, in: &shape{}},
	"cache_from":          {class: noted, why: "builds are cached by the agent"},
	"cache_to":            {class: noted, why: "builds are cached by the agent"},
	"context":             {class: taken, why: "a folder of the repository"},
	"dockerfile":          {class: taken, why: "a file of the repository"},
	"dockerfile_inline":   {why: "holds a Dockerfile; put it into a file of the repository"},
	"entitlements":        {why: "gives powers over the machine that builds"},
	"extra_hosts":         {why: "points names at addresses outside of the run"},
	"isolation":           {why: "changes what keeps the build apart"},
	"labels":              {class: silent, why: "nobody sees the image's labels"},
	"network":             {why: "builds in another network than the build's own"},
	"no_cache":            {class: noted, why: "the same content is built once"},
	"no_cache_filter":     {class: noted, why: "the same content is built once"},
	"platforms":           {class: noted, why: "images are built for the agent's own platform"},
	"privileged":          {why: "hands the machine that builds to the build"},
	"provenance":          {class: silent, why: "the image stays with the agent"},
	"pull":                {class: noted, why: "the agent decides when images are pulled"},
	"sbom":                {class: silent, why: "the image stays with the agent"},
	"secrets":             {why: "mounts files of the machine into the build"},
	"shm_size":            {class: noted, why: "the build's own limits decide"},
	"ssh":                 {why: "forwards an SSH agent of the machine that builds"},
	"tags":                {class: silent, why: "the image is not pushed"},
	"target":              {class: taken},
	"ulimits":             {class: noted, why: "the build's own limits decide"},
}

var healthRules = rules{
	"disable":        {class: taken, flag: true},
	"interval":       {class: taken},
	"retries":        {class: taken},
	"start_interval": {class: noted, why: "the interval is one second until the service is up"},
	"start_period":   {class: taken},
	"test":           {class: taken},
	"timeout":        {class: taken},
}

var dependsRules = rules{
	"condition": {class: taken},
	"required":  {class: taken, flag: true},
	"restart":   {class: silent, why: runsOnce},
}

var deployRules = rules{
	"endpoint_mode":   {class: noted, why: "is for swarms"},
	"labels":          {class: silent, why: noLabels},
	"mode":            {class: noted, why: "one container of each service is started"},
	"placement":       {class: noted, why: "a run's containers are on its agent"},
	"replicas":        {class: noted, why: "one container of each service is started"},
	"resources":       {class: taken, in: &shape{keys: deployResourceRules}},
	"restart_policy":  {class: noted, why: runsOnce},
	"rollback_config": {class: noted, why: "is for swarms"},
	"update_config":   {class: noted, why: "is for swarms"},
}

var deployResourceRules = rules{
	"limits":       {class: taken, in: &shape{keys: limitRules}},
	"reservations": {class: taken, in: &shape{keys: reservationRules}},
}

var limitRules = rules{
	"cpus":   {class: taken, why: "within the run's quota"},
	"memory": {class: taken, why: "within the run's quota"},
	"pids":   {class: taken, why: "within the run's quota"},
}

var reservationRules = rules{
	"cpus":              {class: noted, why: "the run's own quota is reserved"},
	"devices":           {why: wantsDevice},
	"generic_resources": {class: noted, why: "is for swarms"},
	"memory":            {class: noted, why: "the run's own quota is reserved"},
}

var envFileRules = rules{
	"format":   {class: taken},
	"path":     {class: taken, why: "a file of the repository"},
	"required": {class: taken, flag: true},
}

var extendsRules = rules{
	"file":    {why: "takes services from another file; one file holds all that a run needs"},
	"service": {class: taken},
}

var ulimitRules = rules{"hard": {class: taken}, "soft": {class: taken}}

var serviceNetworkRules = rules{
	"aliases":                {class: taken},
	"driver_opts":            {class: noted, why: ownNetwork},
	"gw_priority":            {class: silent, why: ownNetwork},
	"interface_name":         {class: noted, why: ownNetwork},
	"ipv4_address":           {why: "sets an address of the network's; services find each other by name"},
	"ipv6_address":           {why: "sets an address of the network's; services find each other by name"},
	"link_local_ips":         {why: "sets an address of the network's; services find each other by name"},
	"mac_address":            {why: "sets an address of the network's; services find each other by name"},
	"priority":               {class: silent, why: ownNetwork},
	"use_service_name_alias": {class: silent, why: "a service is always found by its name"},
}

var portRules = rules{
	"app_protocol": {class: silent},
	"host_ip":      {class: silent},
	"mode":         {class: silent},
	"name":         {class: silent},
	"protocol":     {class: taken},
	"published":    {class: silent},
	"target":       {class: taken},
}

var mountRules = rules{
	"bind":        {class: silent, why: "is for bind mounts, which are refused"},
	"consistency": {class: silent, why: "volumes are consistent"},
	"image":       {why: "mounts an image"},
	"read_only":   {class: taken, flag: true},
	"source":      {class: taken},
	"target":      {class: taken},
	"tmpfs":       {class: taken, in: &shape{keys: mountTmpfsRules}},
	"type":        {class: taken},
	"volume":      {class: taken, in: &shape{keys: mountVolumeRules}},
}

var mountTmpfsRules = rules{
	"mode": {class: noted, why: "everybody in the container may write there"},
	"size": {class: taken, why: "within the run's memory"},
}

var mountVolumeRules = rules{
	"labels":  {class: silent, why: noLabels},
	"nocopy":  {class: noted, why: "a new volume begins with what the image has there"},
	"subpath": {why: "mounts a part of a volume"},
}

// Top level of a Compose file.

var fileRules = rules{
	"configs":  {class: silent, why: "only services make use of them, which are judged"},
	"include":  {why: "takes services from another file; one file holds all that a run needs"},
	"jobs":     {class: noted, why: "nothing is started on a schedule"},
	"models":   {class: silent, why: "only services make use of them, which are judged"},
	"name":     {class: silent, why: "a run's objects have names of their own"},
	"networks": {class: taken, in: &shape{each: &shape{keys: networkRules}}},
	"secrets":  {class: silent, why: "only services make use of them, which are judged"},
	"services": {class: taken, in: &shape{each: &shape{keys: serviceRules}}},
	"version":  {class: silent, why: "all versions are read alike"},
	"volumes":  {class: taken, in: &shape{each: &shape{keys: volumeRules}}},
}

var networkRules = rules{
	"attachable":  {class: silent, why: ownNetwork},
	"driver":      {class: taken, why: "bridge or overlay; " + ownNetwork},
	"driver_opts": {class: noted, why: ownNetwork},
	"enable_ipv4": {class: noted, why: ownNetwork},
	"enable_ipv6": {class: noted, why: ownNetwork},
	"external":    {why: "reaches a network outside of the run", flag: true},
	"internal":    {class: noted, why: "services may reach the internet, as the script may"},
	"ipam":        {class: noted, why: "the run's own network has addresses of its own"},
	"labels":      {class: silent, why: noLabels},
	"name":        {class: silent, why: ownNetwork},
}

var volumeRules = rules{
	"driver":      {class: taken, why: "local"},
	"driver_opts": {why: "mounts something of the machine's, or from elsewhere"},
	"external":    {why: "takes a volume from outside of the run", flag: true},
	"labels":      {class: silent, why: noLabels},
	"name":        {class: silent, why: "a run's volumes have names of their own"},
}
